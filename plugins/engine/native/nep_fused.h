// The driver of nep_atom.h for lanes that are threads: all of one atom at once, in a bounded piece of fast memory.
#pragma once

#include "nep_atom.h"

#include <cstddef>

namespace metalff {

/// Pointers into a graph, rows sorted by element. Edges of centre i: first[i], …, first[i] + count[i] - 1.
struct NepRows {
  const int *types, *first, *count, *neighbor;
  const double *vec;
  double *energy, *grad;
};

/// Energy of one atom, and dE/d vec of all its edges. Neighbours of the angular part are worked on as many at a time as there are lanes, and
/// once more on the way back: fast memory does not grow with them.
/// \tparam l_most at least l_max
/// \tparam G      radial functions of the angular part at a time
template <class P, int l_most, int G> struct NepFused {
  using T = typename P::T;
  using V = typename P::V;
  static constexpr int W = P::width, harmonics_most = (l_most + 1) * (l_most + 1);
  static constexpr int row = (G + 3) / 4 * 4;    // places for radial functions, that they are fetched 16 bytes at a time
  static constexpr int staged = W == 1 ? 1 : W + 1;    // numbers of one harmonic in fast memory, that those of all lie in different banks

  NepTables<T> t;
  HarmonicNorms<T, l_most> norms;
  NepRows graph;

  /// Of fast memory.
  static std::size_t bytes(const NepTables<T> &t) { return Memory(t, nullptr).bytes; }

  METALFF_FUNCTION void operator()(int i, std::byte *memory) const
  {
    const Memory m(t, memory);
    const int type = graph.types[i], first = graph.first[i], last = first + graph.count[i];
    for (int v = 0; v < t.Q / W; ++v) P::of(m.q, v) = P::all(0);
    radial_forward(m, type, first, last);
    P::sync();
    if (t.l_max > 0) angular_forward(m, type, first, last);
    double energy = network<P>(t, type, m.q, m.z, m.slope, m.dq);
    energy += P::template With<double>::total(radial_backward(m, type, first, last));
    if (t.l_max > 0) angular_backward(m, type, first, last);
    P::once([&] { graph.energy[i] = energy; });
  }

 private:
  struct Memory {
    T *gs, *Ys, *S, *dS, *rows, *q, *dq, *z, *slope, *functions;
    int *queue;
    std::size_t bytes;

    METALFF_INLINE Memory(const NepTables<T> &t, std::byte *memory)
    {
      T *const start = reinterpret_cast<T *>(memory);
      std::size_t n = 0;
      const auto take = [&](std::size_t size) {
        T *const at = start + n;
        n += (size + 3) / 4 * 4;
        return at;
      };
      // first those that are fetched 16 bytes at a time
      S = take(t.groups * t.harmonics * row), dS = take(t.groups * harmonics_most * row);
      const std::size_t edges = t.l_max > 0 ? W * row + t.harmonics * staged : 0, sums = t.basis_radial * W;
      gs = rows = take(edges > sums ? edges : sums);
      Ys = gs + W * row;
      q = take(t.Q), dq = take(t.Q), z = take(t.J), slope = take(t.J), functions = take(t.K);
      queue = reinterpret_cast<int *>(take(2 * W * sizeof(int) / sizeof(T) + 1));
      bytes = n * sizeof(T);
    }
  };

  struct Edge {
    T x, y, z, r2;
  };
  METALFF_INLINE Edge edge(int e) const
  {
    const double *v = graph.vec + 3 * std::size_t(e);
    const T x = T(v[0]), y = T(v[1]), z = T(v[2]);
    return {x, y, z, x * x + y * y + z * z};
  }

  /// act(element, start) calls start(act) for the neighbours of one element, and that calls act(edge, is there one) with one for each lane.
  template <class Act> METALFF_INLINE void each_run(int first, int last, Act &&act) const
  {
    for (int from = first; from < last;) {
      const int other = graph.types[graph.neighbor[from]];
      act(other, [&](auto &&one) {
        for (int all = W; all == W && from < last; from += all) {
          const int e = from + P::lane();
          const bool mine = e < last && graph.types[graph.neighbor[e]] == other;
          P::rank(mine, all);
          one(mine ? e : from, mine);
        }
      });
    }
  }

  METALFF_INLINE void radial_forward(const Memory &m, int type, int first, int last) const
  {
    each_run(first, last, [&](int other, auto &&run) {
      const T rc = T(t.radial_cutoff(type, other));
      for (int k = 0; k < t.basis_radial; ++k) P::of(m.rows, k) = P::all(0);
      run([&](int e, bool mine) {
        const T r = std::sqrt(edge(e).r2);
        Argument<P> a;
        a.set(mine && !(r >= rc) ? r : rc, rc);    // NaN goes on
        add_functions(a, t.basis_radial, m.rows);
      });
      add_radial<P>(t, t.pair(type, other), m.rows, m.functions, m.q);
    });
  }

  /// The first that writes an edge; gives the energy of repulsion, each lane its part.
  METALFF_INLINE double radial_backward(const Memory &m, int type, int first, int last) const
  {
    double energy = 0.0;
    each_run(first, last, [&](int other, auto &&run) {
      const T rc = T(t.radial_cutoff(type, other));
      const T constant = radial_series<P>(t, t.pair(type, other), m.dq, m.functions);
      run([&](int e, bool mine) {
        const Edge v = edge(e);
        const T r = std::sqrt(v.r2), per = 1 / r;
        Argument<P> a;
        a.set(r, rc);
        T slope = radial_slope(a, t.basis_radial, m.functions, constant);
        if (r >= rc) slope = 0;
        if (t.zbl) {
          const ZblPair &pair = t.zbl[t.pair(type, other)];
          double more = 0.0;
          if (mine && r < pair.outer) energy += pair.half(r, more);
          slope += T(more);
        }
        if (!mine) return;
        double *out = graph.grad + 3 * std::size_t(e);
        out[0] = double(slope * (v.x * per)), out[1] = double(slope * (v.y * per)), out[2] = double(slope * (v.z * per));
      });
    });
    return energy;
  }

  /// act(edge, how many) for neighbours within the angular cutoff, one for each lane; -1: none.
  template <class Act> METALFF_INLINE void each_angular(const Memory &m, int type, int first, int last, Act &&act) const
  {
    const int lane = P::lane();
    for (int from = first, waiting = 0;;) {
      for (; waiting < W && from < last; from += W) {
        const int e = from + lane;
        bool within = false;
        if (e < last) {
          const T rc = T(t.angular_cutoff(type, graph.types[graph.neighbor[e]]));
          within = !(edge(e).r2 >= rc * rc);
        }
        int all;
        const int place = waiting + P::rank(within, all);
        if (within) m.queue[place] = e;
        waiting += all;
      }
      if (waiting == 0) break;
      P::sync();
      const int n = waiting < W ? waiting : W, e = lane < n ? m.queue[lane] : -1;
      const int later = lane + W < waiting ? m.queue[lane + W] : -1;
      P::sync();
      if (later >= 0) m.queue[lane] = later;
      waiting -= n;
      act(e, n);
    }
  }

  /// Of an angular neighbour.
  struct Place {
    V u[3], r;
    Argument<P> argument;
    const T *c;    // of its radial functions

    METALFF_INLINE Place(const NepFused &f, int type, int e)
    {
      const auto &t = f.t;
      int other = type;
      Edge v{1, 0, 0, 1};
      if (e >= 0) other = f.graph.types[f.graph.neighbor[e]], v = f.edge(e);
      const T length = std::sqrt(v.r2), per = 1 / length, rc = T(t.angular_cutoff(type, other));
      u[0] = v.x * per, u[1] = v.y * per, u[2] = v.z * per;
      r = e >= 0 ? length : rc;    // at the cutoff: adds nothing
      argument.set(r, rc);
      c = t.angular_of(t.pair(type, other));
    }
  };

  METALFF_INLINE void angular_forward(const Memory &m, int type, int first, int last) const
  {
    P::each(t.groups * t.harmonics, [&](int h) {
      METALFF_UNROLL
      for (int k = 0; k < G; ++k) m.S[h * row + k] = 0;
    });
    each_angular(m, type, first, last, [&](int e, int n) {
      const Place at(*this, type, e);
      {
        Harmonics<P, l_most> harmonics(norms);
        V Y[harmonics_most];
        harmonics.values(l_most, at.u, Y);
        METALFF_UNROLL
        for (int h = 1; h < harmonics_most; ++h)
          if (h < t.harmonics) m.Ys[h * staged + P::lane()] = Y[h];
      }
      for (int group = 0; group < t.groups; ++group) {
        V g[G];
        METALFF_UNROLL
        for (int k = 0; k < G; ++k) g[k] = P::all(0);
        const T *c = at.c + group * row;
        basis(at.argument, t.basis_angular, [&](int k, V f, V) {
          T of[G];
          fetch<P>(c + std::size_t(k) * t.groups * row, of);
          METALFF_UNROLL
          for (int j = 0; j < G; ++j) g[j] += of[j] * f;
        });
        METALFF_UNROLL
        for (int k = 0; k < G; ++k) m.gs[P::lane() * row + k] = g[k];
        P::sync();
        // each lane has a harmonic of its own, and sums over neighbours
        P::each(t.harmonics - 1, [&](int h) {
          const T *Y = m.Ys + (h + 1) * staged;
          T *S = m.S + (group * t.harmonics + h + 1) * row;
          T sum[G];
          METALFF_UNROLL
          for (int k = 0; k < G; ++k) sum[k] = 0;
          for (int j = 0; j < n; ++j) {
            T of[G];
            fetch<P>(m.gs + j * row, of);
            METALFF_UNROLL
            for (int k = 0; k < G; ++k) sum[k] += Y[j] * of[k];
          }
          METALFF_UNROLL
          for (int k = 0; k < G; ++k) S[k] += sum[k];
        });
        P::sync();
      }
    });
    P::sync();
    T *q = m.q + t.n_radial;
    P::each(t.n_angular, [&](int k) {
      const T *S = m.S + k / G * t.harmonics * row + k % G;
      invariants<T>(t, [&](int h) { return S[h * row]; }, [&](int kind, T value) { q[kind * t.n_angular + k] = value; });
    });
    P::sync();
  }

  METALFF_INLINE void angular_backward(const Memory &m, int type, int first, int last) const
  {
    P::each(t.groups * harmonics_most * row, [&](int k) { m.dS[k] = 0; });
    P::sync();
    const T *dq = m.dq + t.n_radial;
    P::each(t.n_angular, [&](int k) {
      const T *S = m.S + k / G * t.harmonics * row + k % G;
      T *dS = m.dS + k / G * harmonics_most * row + k % G;
      density_gradient<T>(t, [&](int kind) { return dq[kind * t.n_angular + k]; }, [&](int h) { return S[h * row]; },
                          [&](int h) -> T & { return dS[h * row]; });
    });
    P::sync();
    each_angular(m, type, first, last, [&](int e, int) {
      const Place at(*this, type, e);
      Harmonics<P, l_most> harmonics(norms);
      V Y[harmonics_most], dY[harmonics_most], dr = P::all(0), du[3], out[3];
      harmonics.values(l_most, at.u, Y);
      METALFF_UNROLL
      for (int h = 0; h < harmonics_most; ++h) dY[h] = P::all(0);
      for (int group = 0; group < t.groups; ++group) {
        V g[G], dg[G];
        METALFF_UNROLL
        for (int k = 0; k < G; ++k) g[k] = dg[k] = P::all(0);
        const T *c = at.c + group * row;
        basis(at.argument, t.basis_angular, [&](int k, V f, V df) {
          T of[G];
          fetch<P>(c + std::size_t(k) * t.groups * row, of);
          METALFF_UNROLL
          for (int j = 0; j < G; ++j) g[j] += of[j] * f, dg[j] += of[j] * df;
        });
        dr += edge_backward<P, G>(harmonics_most, m.dS + group * harmonics_most * row, row, Y, g, dg, dY);
      }
      harmonics.gradient(l_most, dY, du);
      edge_gradient<P>(at.u, at.r, dr, du, out);
      if (e < 0) return;
      double *grad = graph.grad + 3 * std::size_t(e);
      for (int c = 0; c < 3; ++c) grad[c] += double(out[c]);
    });
  }
};

}    // namespace metalff
