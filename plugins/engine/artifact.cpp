#include "artifact.h"

#include "error.h"
#include "json.h"
#include "sha256.h"
#include "zip.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace metalff {
namespace {

/// What nlohmann::json says, without its tag and without bytes that are not text.
std::string reason(const std::exception &error)
{
  std::string text = error.what();
  if (const auto tag = text.find("] "); text.starts_with("[json.exception") && tag != std::string::npos)
    text.erase(0, tag + 2);
  for (char &c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
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
      if ((name == "validation") != validation || !error.contains("force_rmse")) continue;
      text << std::setprecision(3) << ", force RMSE " << error.at("force_rmse").get<double>() << " eV/A";
      if (error.contains("energy_rmse")) text << " and energy RMSE " << 1e3 * error.at("energy_rmse").get<double>() << " meV/atom";
      text << " on " << name;
      return text.str();
    }
  return text.str();
}

void parse_manifest(const std::string &text, Artifact &a)
{
  const auto json = Json::parse(text);
  const int found = json.at("schema").get<int>();
  const std::string schema = std::to_string(Artifact::schema);
  const std::string versions = " (the file is of MetalFF " + json.value("versions", Json::object()).value("metalff", "an unknown version") +
      "; schema " + schema + " is that of MetalFF 0.2.0 and later)";
  if (found > Artifact::schema)
    throw Error("'" + a.path + "' has manifest schema " + std::to_string(found) + " but this MetalFF reads up to " + schema +
                ": update MetalFF" + versions);
  if (found < Artifact::schema)
    throw Error("'" + a.path + "' has manifest schema " + std::to_string(found) + ", of an older MetalFF, but this one " +
                "reads " + schema + ": deploy the model again" + versions);
  a.name = json.at("name").get<std::string>();
  a.family = json.at("family").get<std::string>();
  a.citation = json.value("citation", "");
  a.licence = json.value("licence", "");
  a.elements = json.at("elements").get<std::vector<std::string>>();
  a.r_max = json.at("r_max").get<double>();
  a.layers = json.at("layers").get<int>();
  const Json training = json.value("training", Json::object());
  a.shortest_distance = training.value("shortest_distance", 0.0);
  a.largest_coordination = training.value("largest_coordination", 0);
  a.smallest_coordination = training.value("smallest_coordination", 0);
  for (const auto &pair : training.value("pairs", Json::array())) {
    auto index = [&](int which) {
      const auto name = pair.at(which).get<std::string>();
      const auto at = std::find(a.elements.begin(), a.elements.end(), name);
      if (at == a.elements.end()) throw std::domain_error("training.pairs names " + name + ", which is not an element of the model");
      return int(at - a.elements.begin());
    };
    a.pairs.insert(std::minmax({index(0), index(1)}));
  }
  a.trained_on = trained_on(training);
  const Json payloads = json.value("payloads", Json::object());
  for (const auto &[name, payload] : payloads.items())
    a.payloads[name] = {payload.at("sha256").get<std::string>(), payload.at("size").get<std::size_t>()};

  if (a.elements.empty()) throw std::domain_error("elements is empty");
  if (!(std::isfinite(a.r_max) && a.r_max > 0)) throw std::domain_error("r_max is not a positive number");
  if (a.layers < 1) throw std::domain_error("layers is less than 1");
  if (!(std::isfinite(a.shortest_distance) && a.shortest_distance >= 0))
    throw std::domain_error("training.shortest_distance is not a distance");
  if (a.largest_coordination < 0) throw std::domain_error("training.largest_coordination is negative");
  if (a.smallest_coordination < 0) throw std::domain_error("training.smallest_coordination is negative");
}

}    // namespace

std::string Artifact::read(const std::string &payload) const
{
  auto members = read_zip(path);
  const auto at = members.find(payload);
  if (at == members.end()) throw Error("'" + path + "' lacks its payload " + payload + ": copy it again from its source");
  return std::move(at->second);
}

Artifact Artifact::open(const std::string &path)
{
  const auto members = read_zip(path);
  const auto manifest = members.find("manifest.json");
  if (manifest == members.end())
    throw Error("'" + path + "' has no manifest.json, so it is not an .mlff artefact: make one with 'metalff deploy'");

  Artifact a;
  a.path = path;
  a.sha256 = metalff::sha256(manifest->second.data(), manifest->second.size());
  try {
    parse_manifest(manifest->second, a);
  } catch (const Error &) {
    throw;
  } catch (const std::exception &e) {
    throw Error("the manifest of '" + path + "' is not valid (" + reason(e) + "): deploy the model again");
  }

  for (const auto &[name, payload] : a.payloads) {
    const auto member = members.find(name);
    if (member == members.end()) throw Error("'" + path + "' lacks its payload " + name + ": copy it again from its source");
    if (member->second.size() != payload.size)
      throw Error("payload " + name + " of '" + path + "' has " + std::to_string(member->second.size()) +
                  " bytes but its manifest says " + std::to_string(payload.size) + ": copy it again from its source");
    if (metalff::sha256(member->second.data(), member->second.size()) != payload.sha256)
      throw Error("payload " + name + " of '" + path + "' does not match its hash in the manifest: the file was " +
                  "altered; copy it again from its source");
  }
  return a;
}

}    // namespace metalff
