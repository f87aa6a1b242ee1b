#include "artifact.h"

#include "elements.h"
#include "error.h"
#include "json.h"
#include "sha256.h"
#include "zip.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <iomanip>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace metalff {
namespace {

constexpr std::size_t longest_manifest = 4 << 20;
constexpr int most_elements = 118, most_layers = 32, most_atoms = 1000000000;

/// The beginning of a text, fit for a message.
std::string shown(const std::string &text)
{
  std::string part = text.substr(0, 40);
  for (char &c : part)
    if (c < ' ' || c > '~') c = '?';
  return part;
}

/// One object of the manifest, whose entries are of the kinds that they must be. What is wrong is thrown as a domain_error.
class Entries {
 public:
  Entries(const Json &json, std::string name) : json_(json), name_(std::move(name))
  {
    if (!json.is_object()) throw std::domain_error((name_.empty() ? "it" : name_) + " is not an object");
  }

  [[noreturn]] void refuse(const char *key, const std::string &what) const { throw std::domain_error(called(key) + " is " + what); }

  const Json *find(const char *key) const
  {
    const auto at = json_.find(key);
    return at == json_.end() ? nullptr : &*at;
  }
  const Json &at(const char *key) const
  {
    const Json *entry = find(key);
    if (!entry) refuse(key, "missing");
    return *entry;
  }

  std::string text(const char *key) const
  {
    if (!at(key).is_string()) refuse(key, "not a text");
    return at(key).get<std::string>();
  }
  int whole(const char *key, int least, int most) const
  {
    const Json &entry = at(key);
    const bool within = entry.is_number_unsigned() ? entry.get<uint64_t>() >= uint64_t(std::max(0, least)) && entry.get<uint64_t>() <= uint64_t(most)
                                                   : entry.is_number_integer() && entry.get<int64_t>() >= least && entry.get<int64_t>() <= most;
    if (!within) refuse(key, "not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    return entry.get<int>();
  }
  double number(const char *key, double above, double most, bool or_equal) const
  {
    const Json &entry = at(key);
    const double value = entry.is_number() ? entry.get<double>() : std::nan("");
    if (!((or_equal ? value >= above : value > above) && value <= most)) {
      std::ostringstream words;
      words << "not a number " << (or_equal ? "from " : "above ") << above << (or_equal ? " to " : " and up to ") << most;
      refuse(key, words.str());
    }
    return value;
  }
  /// Texts by name, or numbers by name.
  void all(const char *key, bool texts) const
  {
    for (const auto &[name, value] : Entries(at(key), called(key)).json_.items())
      if (!(texts ? value.is_string() : value.is_number())) refuse(key, std::string("not an object of ") + (texts ? "texts" : "numbers"));
  }
  /// Refuses keys that are none of these.
  void only(std::initializer_list<std::string_view> keys) const
  {
    for (const auto &[key, value] : json_.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end())
        throw std::domain_error((name_.empty() ? "it" : name_) + " has the unknown key '" + shown(key) + "'");
  }

 private:
  std::string called(const char *key) const { return name_.empty() ? key : name_ + "." + key; }

  const Json &json_;
  std::string name_;
};

std::vector<std::string> elements_of(const Entries &entries)
{
  const Json &list = entries.at("elements");
  if (!list.is_array()) entries.refuse("elements", "not a list of symbols");
  if (list.empty()) entries.refuse("elements", "empty");
  if (list.size() > most_elements) entries.refuse("elements", "a list of " + std::to_string(list.size()) + ", more than there are");
  std::vector<std::string> elements;
  for (const Json &entry : list) {
    const std::string symbol = entry.is_string() ? entry.get<std::string>() : "";
    if (!atomic_number(symbol)) throw std::domain_error("elements names '" + (entry.is_string() ? shown(symbol) : shown(entry.dump())) + "', which is no element");
    if (std::find(elements.begin(), elements.end(), symbol) != elements.end()) throw std::domain_error("elements names " + symbol + " twice");
    elements.push_back(symbol);
  }
  return elements;
}

/// "DATA (N frames), force RMSE … eV/A on TEST": errors on test data where there are any, else those of the validation.
std::string trained_on(const Json &training)
{
  std::ostringstream text;
  text << training.value("data", "");
  if (const int frames = training.value("frames", 0)) text << " (" << frames << " frames)";
  const Json errors = training.value("errors", Json::object());
  for (const bool validation : {false, true})
    for (const auto &[name, error] : errors.items()) {
      if (name == "groups" || (name == "validation") != validation || !error.contains("force_rmse")) continue;
      text << std::setprecision(3) << ", force RMSE " << error.at("force_rmse").get<double>() << " eV/A";
      if (error.contains("energy_rmse")) text << " and energy RMSE " << 1e3 * error.at("energy_rmse").get<double>() << " meV/atom";
      text << " on " << name;
      return text.str();
    }
  return text.str();
}

void parse_training(const Json &json, Artifact &a)
{
  const Entries training(json, "training");
  for (const char *key : {"data", "data_sha256", "pressure", "reference"})
    if (training.find(key)) training.text(key);
  if (training.find("frames")) training.whole("frames", 0, most_atoms);
  if (const Json *seed = training.find("seed"); seed && !seed->is_null() && !seed->is_number_integer()) training.refuse("seed", "not a whole number");
  if (const Json *config = training.find("config"); config && !config->is_object()) training.refuse("config", "not an object");
  if (const Json *names = training.find("unlearnt"))
    if (!names->is_array() || !std::all_of(names->begin(), names->end(), [](const Json &name) { return name.is_string(); }))
      training.refuse("unlearnt", "not a list of texts");
  if (training.find("shortest_distance")) a.shortest_distance = training.number("shortest_distance", 0.0, longest_cutoff, true);
  if (training.find("largest_coordination")) a.largest_coordination = training.whole("largest_coordination", 0, most_atoms);
  if (training.find("smallest_coordination")) a.smallest_coordination = training.whole("smallest_coordination", 0, most_atoms);
  if (const Json *pairs = training.find("pairs")) {
    if (!pairs->is_array()) training.refuse("pairs", "not a list of pairs of elements");
    for (const Json &pair : *pairs) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
        training.refuse("pairs", "not a list of pairs of elements");
      auto index = [&](int which) {
        const auto name = pair[which].get<std::string>();
        const auto at = std::find(a.elements.begin(), a.elements.end(), name);
        if (at == a.elements.end()) throw std::domain_error("training.pairs names " + shown(name) + ", which is not an element of the model");
        return int(at - a.elements.begin());
      };
      a.pairs.insert(std::minmax({index(0), index(1)}));
    }
  }
  if (const Json *errors = training.find("errors")) {
    const Entries sets(*errors, "training.errors");
    for (const auto &[name, values] : errors->items()) {
      if (name != "groups") {
        sets.all(name.c_str(), false);
        continue;
      }
      const Entries groups(values, "training.errors.groups");
      for (const auto &[group, of_group] : values.items()) groups.all(group.c_str(), false);
    }
  }
  a.trained_on = trained_on(json);
}

void parse_manifest(const std::string &text, Artifact &a)
{
  const Json json = parse_json(text);
  if (!text.starts_with('{') || !json.is_object()) throw std::domain_error("it is not JSON, or nested too deep");
  const Entries entries(json, "");
  const int found = entries.whole("schema", 1, 1000000);
  const std::string schema = std::to_string(Artifact::schema);
  const Json *wrote = entries.find("versions");
  const std::string version = wrote && wrote->is_object() && wrote->contains("metalff") && wrote->at("metalff").is_string()
      ? shown(wrote->at("metalff").get<std::string>())
      : "an unknown version";
  const std::string versions = " (the file is of MetalFF " + version +
      "; schema " + schema + " is that of MetalFF 0.2.0 and later)";
  if (found > Artifact::schema)
    throw Error("'" + a.path + "' has manifest schema " + std::to_string(found) + " but this MetalFF reads up to " + schema +
                ": update MetalFF" + versions);
  if (found < Artifact::schema)
    throw Error("'" + a.path + "' has manifest schema " + std::to_string(found) + ", of an older MetalFF, but this one " +
                "reads " + schema + ": deploy the model again" + versions);
  entries.only({"schema", "name", "family", "elements", "r_max", "layers", "units", "training", "citation", "licence", "versions", "payloads"});
  a.name = entries.text("name");
  a.family = entries.text("family");
  if (entries.find("citation")) a.citation = entries.text("citation");
  if (entries.find("licence")) a.licence = entries.text("licence");
  a.elements = elements_of(entries);
  a.r_max = entries.number("r_max", 0.0, longest_cutoff, false);
  a.layers = entries.whole("layers", 1, most_layers);
  if (const Json *units = entries.find("units"); units && *units != Json{{"energy", "eV"}, {"length", "angstrom"}})
    entries.refuse("units", "not that of energies in eV and lengths in angstrom");
  if (entries.find("versions")) entries.all("versions", true);
  if (const Json *training = entries.find("training")) parse_training(*training, a);
  if (const Json *payloads = entries.find("payloads")) {
    if (!payloads->is_object()) entries.refuse("payloads", "not an object");
    for (const auto &[name, json] : payloads->items()) {
      const Entries payload(json, "payloads." + shown(name));
      payload.only({"kind", "sha256", "size", "precision"});
      payload.text("kind");
      const std::string hash = payload.text("sha256");
      if (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != hash.npos) payload.refuse("sha256", "not 64 hexadecimal digits");
      const Json &size = payload.at("size");
      if (!size.is_number_unsigned()) payload.refuse("size", "not a number of bytes");
      if (const Json *precision = payload.find("precision"); precision && !precision->is_null() && *precision != "double" && *precision != "single")
        payload.refuse("precision", "neither double nor single");
      a.payloads[name] = {hash, size.get<std::size_t>()};
    }
  }
}

}    // namespace

namespace {

/// Bytes that are to have this hash, part by part.
void read_payload(const Artifact &a, const std::string &name, const std::function<void(std::string_view)> &act)
{
  const auto payload = a.payloads.find(name);
  const Zip zip(a.path);
  if (payload == a.payloads.end() || !zip.members().count(name))
    throw Error("'" + a.path + "' lacks its payload " + name + ": copy it again from its source");
  Sha256 hash;
  zip.each_part(name, [&](std::string_view part) {
    hash.add(part.data(), part.size());
    act(part);
  });
  if (hash.digest() != payload->second.sha256)
    throw Error("payload " + name + " of '" + a.path + "' does not match its hash in the manifest: the file was altered; copy it again from "
                "its source");
}

}    // namespace

std::string Artifact::read(const std::string &payload) const
{
  std::string bytes;
  read_payload(*this, payload, [&](std::string_view part) { bytes += part; });
  return bytes;
}

void Artifact::verify() const
{
  for (const auto &[name, payload] : payloads) read_payload(*this, name, [](std::string_view) {});
}

Artifact Artifact::open(const std::string &path)
{
  const Zip zip(path);
  const auto manifest = zip.members().find("manifest.json");
  if (manifest == zip.members().end())
    throw Error("'" + path + "' has no manifest.json, so it is not an .mlff artefact: make one with 'metalff deploy'");
  if (manifest->second.size > longest_manifest)
    throw Error("the manifest of '" + path + "' is not valid (it has more than 4 MB): deploy the model again");

  Artifact a;
  a.path = path;
  a.manifest = zip.read("manifest.json");
  a.sha256 = metalff::sha256(a.manifest.data(), a.manifest.size());
  try {
    parse_manifest(a.manifest, a);
  } catch (const std::domain_error &e) {
    throw Error("the manifest of '" + path + "' is not valid (" + e.what() + "): deploy the model again");
  }

  for (const auto &[name, payload] : a.payloads) {
    const auto member = zip.members().find(name);
    if (member == zip.members().end()) throw Error("'" + path + "' lacks its payload " + name + ": copy it again from its source");
    if (member->second.size != payload.size)
      throw Error("payload " + name + " of '" + path + "' has " + std::to_string(member->second.size) +
                  " bytes but its manifest says " + std::to_string(payload.size) + ": copy it again from its source");
  }
  for (const auto &[name, member] : zip.members())
    if (name != "manifest.json" && !a.payloads.count(name))
      throw Error("'" + path + "' has a member " + name + " that its manifest does not name: use the file as 'metalff deploy' wrote it");
  return a;
}

}    // namespace metalff
