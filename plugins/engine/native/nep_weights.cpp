#include "nep_weights.h"

#include "../artifact.h"
#include "../error.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string_view>

namespace metalff {
namespace {

/// The beginning of a word, fit for a message.
std::string shown(std::string_view word)
{
  std::string text(word.substr(0, 40));
  for (char &c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

/// Lines of words, counted.
class Lines {
 public:
  Lines(std::string_view text, const std::string &name) : text_(text), name_(name) {}

  [[noreturn]] void fail(const std::string &what) const
  {
    throw Error("line " + std::to_string(line_) + " of " + name_ + " " + what + ": take the file as GPUMD wrote it");
  }

  /// Words of the next line that has any; none at the end.
  const std::vector<std::string_view> &next()
  {
    words_.clear();
    while (words_.empty() && at_ < text_.size()) {
      ++line_;
      const std::size_t end = std::min(text_.find('\n', at_), text_.size());
      std::string_view line = text_.substr(at_, end - at_);
      at_ = end + 1;
      for (std::size_t from; (from = line.find_first_not_of(" \t\r")) != line.npos;) {
        const std::size_t to = std::min(line.find_first_of(" \t\r", from), line.size());
        words_.push_back(line.substr(from, to - from));
        line.remove_prefix(to);
      }
    }
    return words_;
  }

  /// Next line, which must begin with a keyword and have between `least` and `most` words after it.
  const std::vector<std::string_view> &next(const char *keyword, std::size_t least, std::size_t most)
  {
    next();
    if (words_.empty()) fail(std::string("is the last one, and '") + keyword + "' is to come");
    if (words_[0] != keyword) fail("begins with '" + shown(words_[0]) + "' and not with '" + keyword + "'");
    if (words_.size() < least + 1 || words_.size() > most + 1)
      fail("has " + std::to_string(words_.size() - 1) + " numbers after '" + keyword + "'");
    return words_;
  }

  double number(std::size_t k) const
  {
    double value = 0.0;
    std::string_view word = words_[k];
    if (word.starts_with('+')) word.remove_prefix(1);
    const auto [end, error] = std::from_chars(word.begin(), word.end(), value);
    if (error != std::errc() || end != word.end() || !std::isfinite(value))
      fail("has '" + shown(word) + "' where a finite number belongs");
    return value;
  }

  int integer(std::size_t k, int least, int most) const
  {
    const double value = number(k);
    if (value != std::floor(value) || value < least || value > most)
      fail("has " + shown(words_[k]) + " where an integer from " + std::to_string(least) + " to " + std::to_string(most) +
           " belongs");
    return int(value);
  }

  /// `count` lines of one number.
  std::vector<double> numbers(std::size_t count, const char *what)
  {
    if (count > text_.size()) fail("describes " + std::to_string(count) + " " + what + ", more than the file has");
    std::vector<double> values(count);
    for (std::size_t k = 0; k < count; ++k) {
      if (next().empty())
        fail("is the last one, and " + std::to_string(count - k) + " of the " + std::to_string(count) + " " + what + " are missing");
      if (words_.size() != 1) fail(std::string("has more than one number, in the middle of the ") + what);
      values[k] = number(0);
    }
    return values;
  }

 private:
  std::string_view text_;
  std::string name_;
  std::vector<std::string_view> words_;
  std::size_t at_ = 0;
  int line_ = 0;
};

}    // namespace

NepWeights NepWeights::read(const std::string &text, const std::string &name)
{
  NepWeights w;
  Lines lines(text, name);
  const auto &head = lines.next();
  const std::map<std::string_view, int> versions = {{"nep3", 3}, {"nep3_zbl", 3}, {"nep4", 4}, {"nep4_zbl", 4}, {"nep5", 5}, {"nep5_zbl", 5}};
  if (head.empty()) throw Error(name + " is empty: take the file as GPUMD wrote it");
  const auto version = versions.find(head[0]);
  if (version == versions.end())
    throw Error(name + " is of the kind '" + shown(head[0]) +
                "', which MetalFF does not read: give a potential of the kind nep3, nep4 or nep5, each with or without _zbl");
  w.version = version->second;
  w.zbl.present = head[0].ends_with("_zbl");
  if (head.size() < 3) lines.fail("lacks the elements");
  const int types = lines.integer(1, 1, 118);
  if (int(head.size()) != 2 + types)
    lines.fail("says " + std::to_string(types) + " elements and names " + std::to_string(head.size() - 2));
  for (int t = 0; t < types; ++t) w.elements.emplace_back(head[2 + t]);

  if (w.zbl.present) {
    const std::size_t words = lines.next("zbl", 2, 3).size();
    w.zbl.inner = lines.number(1), w.zbl.outer = lines.number(2);
    w.zbl.flexible = w.zbl.inner == 0.0 && w.zbl.outer == 0.0;
    if (!w.zbl.flexible && !(w.zbl.inner >= 0.0 && w.zbl.inner < w.zbl.outer)) lines.fail("has ZBL cutoffs that do not rise");
    if (words == 4) {
      const double factor = lines.number(3);
      if (!(factor > 0.0)) lines.fail("has a ZBL factor that is not positive");
      if (!w.zbl.flexible) w.zbl.factor = factor;
    }
  }

  const std::size_t words = lines.next("cutoff", 4, 2 * types + 2).size();    // the last two: most neighbours, unused
  if (words != 5 && words != std::size_t(2 * types + 3)) lines.fail("has neither two cutoffs nor two per element");
  for (int t = 0; t < types; ++t) {
    const int k = words == 5 ? 0 : t;
    const double radial = lines.number(1 + 2 * k), angular = lines.number(2 + 2 * k);
    if (!(angular > 0.0 && angular <= radial && radial <= longest_cutoff)) lines.fail("has cutoffs that are not 0 < angular ≤ radial ≤ 50 Å");
    w.rc_radial.push_back(radial), w.rc_angular.push_back(angular);
  }
  lines.next("n_max", 2, 2);
  w.n_radial = lines.integer(1, 0, 99) + 1, w.n_angular = lines.integer(2, 0, 99) + 1;
  lines.next("basis_size", 2, 2);
  w.basis_radial = lines.integer(1, 0, 99) + 1, w.basis_angular = lines.integer(2, 0, 99) + 1;
  const std::size_t flags = lines.next("l_max", 1, 1 + nep_invariants).size() - 2;
  w.l_max = lines.integer(1, 0, 8);
  int kinds = w.l_max;
  for (std::size_t k = 0; k < flags; ++k)
    if ((w.has[k] = lines.number(2 + k) != 0.0)) ++kinds;    // GPUMD writes l itself for the first, not 1
  constexpr int highest[nep_invariants] = {2, 1, 2, 3, 3, 4};    // beyond l_max NEP_CPU's forces are no derivatives of its energy
  for (int k = 0; k < nep_invariants; ++k)
    if (w.has[k] && highest[k] > w.l_max)
      lines.fail("has an invariant with l = " + std::to_string(highest[k]) + " and l_max = " + std::to_string(w.l_max));
  lines.next("ANN", 2, 2);
  w.neurons = lines.integer(1, 1, 1000);
  lines.integer(2, 0, 0);
  w.dim = w.n_radial + w.n_angular * kinds;

  const std::vector<double> p = lines.numbers(w.n_parameters(), "parameters");
  w.scale = lines.numbers(w.dim, "scales of descriptors");
  if (w.zbl.flexible) {
    const std::vector<double> values = lines.numbers(std::size_t(10) * types * (types + 1) / 2, "ZBL parameters");
    w.zbl.pairs.resize(values.size() / 10);
    for (std::size_t k = 0; k < values.size(); ++k) w.zbl.pairs[k / 10][k % 10] = values[k];
  }
  if (!lines.next().empty()) lines.fail("is one more than the first lines describe");

  w.clear();
  w.assign(p.data());
  return w;
}

NepWeights NepWeights::read(const std::string &text, const Artifact &artifact)
{
  const std::string name = "native/nep.txt";
  NepWeights w = read(text, name);
  artifact.must_fit(name, w.elements, *std::max_element(w.rc_radial.begin(), w.rc_radial.end()), 1);
  return w;
}

std::size_t NepWeights::n_parameters() const
{
  const std::size_t nets = version == 3 ? 1 : types(), own = version == 5 ? 1 : 0, pairs = std::size_t(types()) * types();
  return (std::size_t(dim + 2) * neurons + own) * nets + 1 +
      pairs * (std::size_t(n_radial) * basis_radial + std::size_t(n_angular) * basis_angular);
}

template <typename Act, typename Bias> void NepWeights::each(Act &&act, Bias &&bias_act) const
{
  const int nets = version == 3 ? 1 : types(), own = version == 5 ? 1 : 0;
  const std::size_t per_net = std::size_t(dim + 2) * neurons + own, pairs = std::size_t(types()) * types();
  for (int t = 0; t < types(); ++t) {
    std::size_t k = per_net * (nets == 1 ? 0 : t);
    for (std::size_t j = 0; j < std::size_t(neurons) * dim; ++j)
      act(&NepWeights::w0, std::size_t(t) * neurons * dim + j, k++, scale[j % dim]);
    for (int j = 0; j < neurons; ++j) act(&NepWeights::b0, std::size_t(t) * neurons + j, k++, 1.0);
    for (int j = 0; j < neurons; ++j) act(&NepWeights::w1, std::size_t(t) * neurons + j, k++, 1.0);
    bias_act(t, per_net * nets);
    if (own) bias_act(t, k);
  }
  // in the file the pair of elements runs fastest
  std::size_t k = per_net * nets + 1;
  auto pairs_last = [&](std::vector<double> NepWeights::*array, std::size_t each) {
    for (std::size_t c = 0; c < each; ++c)
      for (std::size_t pair = 0; pair < pairs; ++pair) act(array, pair * each + c, k++, 1.0);
  };
  pairs_last(&NepWeights::c_radial, std::size_t(n_radial) * basis_radial);
  pairs_last(&NepWeights::c_angular, std::size_t(n_angular) * basis_angular);
}

void NepWeights::assign(const double *parameters)
{
  values.assign(parameters, parameters + n_parameters());
  std::fill(bias.begin(), bias.end(), 0.0);
  each([&](auto array, std::size_t k, std::size_t in_file, double factor) { (this->*array)[k] = factor * values[in_file]; },
       [&](int type, std::size_t in_file) { bias[type] += values[in_file]; });
}

void NepWeights::clear()
{
  const std::size_t pairs = std::size_t(types()) * types(), all = std::size_t(types()) * neurons;
  w0.assign(all * dim, 0.0), b0.assign(all, 0.0), w1.assign(all, 0.0), bias.assign(types(), 0.0);
  c_radial.assign(pairs * n_radial * basis_radial, 0.0), c_angular.assign(pairs * n_angular * basis_angular, 0.0);
}

void NepWeights::pull_back(const NepWeights &model, double factor, double *parameters) const
{
  model.each([&](auto array, std::size_t k, std::size_t in_file, double scale) { parameters[in_file] += factor * scale * (this->*array)[k]; },
             [&](int type, std::size_t in_file) { parameters[in_file] += factor * bias[type]; });
}

}    // namespace metalff
