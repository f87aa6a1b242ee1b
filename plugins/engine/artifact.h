// The container of a trained model: what it is, and its payloads, checked.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace metalff {

/// One member of the container.
struct Payload {
  std::string sha256;
  std::size_t size = 0;
};

/// An opened `.mlff` file. Lengths in Å, energies in eV.
struct Artifact {
  static constexpr int schema = 3;    ///< the manifest schema that this engine reads

  std::string path;
  std::string sha256;                   ///< of the manifest, which holds the hash of every payload
  std::string name, family, citation, licence;
  std::vector<std::string> elements;    ///< in the order of the model's types
  double r_max = 0.0;                   ///< cutoff of one layer, Å
  int layers = 1;                       ///< message-passing layers; 1: strictly local
  double shortest_distance = 0.0;       ///< shortest distance in the training data, Å; 0: unknown
  int largest_coordination = 0;         ///< most neighbours within r_max in the training data; 0: unknown
  int smallest_coordination = 0;        ///< fewest neighbours within r_max in the training data; 0: unknown, or there are isolated atoms
  std::set<std::pair<int, int>> pairs;  ///< elements (smaller index first) seen within r_max of each other; empty: unknown
  std::string trained_on;               ///< data and errors in words; empty: unknown
  std::map<std::string, Payload> payloads;    ///< by member name

  /// Below this distance (Å) between two atoms the model's energy means nothing; 0: unknown.
  double overlap_distance() const { return 0.6 * shortest_distance; }

  /// Bytes of one payload. Throws Error.
  std::string read(const std::string &payload) const;

  /// Reads and checks `path`: container, schema, size and hash of every payload. Throws Error with one clear sentence.
  static Artifact open(const std::string &path);
};

}    // namespace metalff
