// The container of a trained model: what it is, and its payloads, checked.
#pragma once

#include "error.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace metalff {

constexpr double longest_cutoff = 50.0;    ///< of one layer, Å

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
  std::string manifest;                 ///< its text
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

  /// Throws Error where a payload is a model of other elements (or in another order), of another cutoff (Å) or other layers than the manifest says.
  void must_fit(const std::string &payload, const std::vector<std::string> &elements, double r_max, int layers) const
  {
    auto refuse = [&](const std::string &ours, const std::string &theirs) {
      throw Error("its manifest says " + ours + " and its payload " + payload + " is a model of " + theirs + ": deploy the model again");
    };
    auto words = [](const std::vector<std::string> &symbols) {
      std::string text = "the elements";
      for (std::size_t k = 0; k < symbols.size() && k < 10; ++k) text += " " + symbols[k];
      return symbols.size() > 10 ? text + " … (" + std::to_string(symbols.size()) + ")" : text;
    };
    if (elements != this->elements) refuse(words(this->elements), words(elements));
    if (r_max != this->r_max) refuse("r_max " + std::to_string(this->r_max) + " Å", std::to_string(r_max) + " Å");
    if (layers != this->layers) refuse("layers " + std::to_string(this->layers), std::to_string(layers));
  }

  /// Bytes of one payload, whose hash is that of the manifest. Throws Error.
  std::string read(const std::string &payload) const;

  /// Reads every payload and throws Error where a hash is not that of the manifest.
  void verify() const;

  /// Reads and checks what `path` says of itself: the directory of its members, the manifest, and that they fit each other. No payload is
  /// read. Throws Error with one clear sentence.
  static Artifact open(const std::string &path);
};

}    // namespace metalff
