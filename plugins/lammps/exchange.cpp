#include "exchange.h"

#include "atom.h"
#include "comm.h"
#include "pair.h"
#include "platform.h"

#include <algorithm>

using namespace LAMMPS_NS;
using metalff::reserve_for;

void FeatureExchange::set_nodes(const std::vector<int> &atom_of, int n_owned, int n_nodes)
{
  atom_of_ = atom_of.data();
  n_owned_ = n_owned;
  n_nodes_ = n_nodes;
}

void FeatureExchange::forward(double *features, int width)
{
  const double start = platform::walltime();
  width_ = width;
  reserve_for(rows_, std::size_t(atom->nlocal + atom->nghost) * width);
  std::fill_n(rows_.data(), std::size_t(atom->nlocal) * width, 0.0);    // atoms that the model does not see
  for (int node = 0; node < n_owned_; ++node)
    std::copy_n(features + std::size_t(node) * width, width, &rows_[std::size_t(atom_of_[node]) * width]);
  active = true;
  comm->forward_comm(pair_, width);
  active = false;
  for (int node = n_owned_; node < n_nodes_; ++node)
    std::copy_n(&rows_[std::size_t(atom_of_[node]) * width], width, features + std::size_t(node) * width);
  seconds += platform::walltime() - start;
}

void FeatureExchange::reverse(double *gradients, int width)
{
  const double start = platform::walltime();
  width_ = width;
  const std::size_t size = std::size_t(atom->nlocal + atom->nghost) * width;
  reserve_for(rows_, size);
  std::fill_n(rows_.data(), size, 0.0);
  for (int node = 0; node < n_nodes_; ++node)
    std::copy_n(gradients + std::size_t(node) * width, width, &rows_[std::size_t(atom_of_[node]) * width]);
  active = true;
  comm->reverse_comm(pair_, width);
  active = false;
  for (int node = 0; node < n_owned_; ++node)
    std::copy_n(&rows_[std::size_t(atom_of_[node]) * width], width, gradients + std::size_t(node) * width);
  seconds += platform::walltime() - start;
}

int FeatureExchange::pack_forward(int n, const int *list, double *buf) const
{
  for (int k = 0; k < n; ++k) std::copy_n(&rows_[std::size_t(list[k]) * width_], width_, buf + std::size_t(k) * width_);
  return n * width_;
}

void FeatureExchange::unpack_forward(int n, int first, const double *buf)
{
  std::copy_n(buf, std::size_t(n) * width_, &rows_[std::size_t(first) * width_]);
}

int FeatureExchange::pack_reverse(int n, int first, double *buf) const
{
  std::copy_n(&rows_[std::size_t(first) * width_], std::size_t(n) * width_, buf);
  return n * width_;
}

void FeatureExchange::unpack_reverse(int n, const int *list, const double *buf)
{
  for (int k = 0; k < n; ++k)
    for (int c = 0; c < width_; ++c) rows_[std::size_t(list[k]) * width_ + c] += buf[std::size_t(k) * width_ + c];
}
