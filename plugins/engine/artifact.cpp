#include "artifact.h"

#include "error.h"
#include "json.h"
#include "sha256.h"
#include "zip.h"

namespace metalff {

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
    const auto json = Json::parse(manifest->second);
    const int found = json.at("schema").get<int>();
    if (found > schema)
      throw Error("'" + path + "' has manifest schema " + std::to_string(found) + " but this MetalFF reads up to " +
                  std::to_string(schema) + ": update MetalFF");
    a.name = json.at("name").get<std::string>();
    a.family = json.at("family").get<std::string>();
    a.citation = json.at("citation").get<std::string>();
    a.licence = json.at("licence").get<std::string>();
    a.elements = json.at("elements").get<std::vector<std::string>>();
    a.r_max = json.at("r_max").get<double>();
    a.layers = json.at("layers").get<int>();
    if (json.at("training").contains("shortest_distance"))
      a.shortest_distance = json.at("training").at("shortest_distance").get<double>();
    for (const auto &[name, payload] : json.at("payloads").items())
      a.payload_sha256[name] = payload.at("sha256").get<std::string>();
  } catch (const Json::exception &e) {
    throw Error("the manifest of '" + path + "' is not valid (" + e.what() + "): deploy the model again");
  }

  for (const auto &[name, digest] : a.payload_sha256) {
    const auto member = members.find(name);
    if (member == members.end()) throw Error("'" + path + "' lacks its payload " + name + ": copy it again from its source");
    if (metalff::sha256(member->second.data(), member->second.size()) != digest)
      throw Error("payload " + name + " of '" + path + "' does not match its hash in the manifest: the file was " +
                  "altered; copy it again from its source");
  }
  return a;
}

}    // namespace metalff
