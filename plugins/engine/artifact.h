// The container of a trained model: what it is, and its payloads, checked.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace metalff {

/// An opened `.mlff` file. Lengths in Å, energies in eV.
struct Artifact {
  static constexpr int schema = 1;    ///< newest manifest schema that this engine reads

  std::string path;
  std::string sha256;                   ///< of the manifest, which holds the hash of every payload
  std::string name, family, citation, licence;
  std::vector<std::string> elements;    ///< in the order of the model's types
  double r_max = 0.0;                   ///< cutoff of one layer, Å
  int layers = 1;                       ///< message-passing layers; 1: strictly local
  double shortest_distance = 0.0;       ///< shortest distance in the training data, Å; 0: unknown
  std::map<std::string, std::string> payload_sha256;    ///< by member name

  /// Reads and checks `path`: container, schema, hash of every payload. Throws Error with one clear sentence.
  static Artifact open(const std::string &path);
};

}    // namespace metalff
