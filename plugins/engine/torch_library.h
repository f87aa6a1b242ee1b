// An installed torch: where it is, and those of its C functions that keep their meaning from version to version
// (torch/csrc/inductor/aoti_torch/c/shim.h). Nothing of torch is needed to build MetalFF.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace metalff {

/// The torch of the Python that MetalFF is installed in.
struct Torch {
  std::string folder;     ///< site-packages/torch
  std::string version;    ///< as its package says

  /// Throws Error where that Python has none.
  static const Torch &installed();
};

/// libtorch in this process.
class TorchLibrary {
 public:
  /// An array of libtorch, owned.
  class Tensor {
   public:
    Tensor() = default;
    Tensor(const TorchLibrary *library, void *handle) : library_(library), handle_(handle) {}
    Tensor(Tensor &&other) noexcept : library_(other.library_), handle_(other.release()) {}
    Tensor &operator=(Tensor &&other) noexcept
    {
      std::swap(library_, other.library_), std::swap(handle_, other.handle_);
      return *this;
    }
    ~Tensor()
    {
      if (handle_) library_->delete_(handle_);
    }

    void *get() const { return handle_; }
    void *release() { return std::exchange(handle_, nullptr); }

   private:
    const TorchLibrary *library_ = nullptr;
    void *handle_ = nullptr;
  };

  enum Type { FLOAT32, FLOAT64, INT64 };

  /// Opens it with the first model that needs it. Throws Error.
  static const TorchLibrary &open(bool cuda);

  void set_threads(int count) const { set_threads_(count); }

  /// \param data lies in memory row by row and outlives the tensor
  /// \param cuda number of the device that a copy is made on; -1: none is made
  Tensor wrap(void *data, const std::vector<int64_t> &sizes, Type type, int cuda) const;

  int64_t size(const Tensor &tensor, int axis) const;

  /// The tensor, or a copy of it, row by row in the memory of the host.
  Tensor on_host(Tensor tensor, int cuda) const;
  void *data(const Tensor &tensor) const;
  /// Whether it has that many numbers of that type.
  bool holds(const Tensor &tensor, std::size_t count, Type type) const;

 private:
  TorchLibrary(bool cuda);
  int32_t code(Type type) const { return type == FLOAT32 ? float32_() : type == FLOAT64 ? float64_() : int64_(); }
  Tensor empty(int axes, const int64_t *sizes, int32_t type, int cuda) const;

  template <typename... Arguments> using Function = int32_t (*)(Arguments...);
  Function<void *> delete_;
  Function<void *, int64_t, const int64_t *, const int64_t *, int64_t, int32_t, int32_t, int32_t, void **> from_blob_;
  Function<int64_t, const int64_t *, const int64_t *, int32_t, int32_t, int32_t, void **> empty_;
  Function<void *, void *, int32_t> copy_;
  Function<void *, void **> data_;
  Function<void *, int64_t *> dim_;
  Function<void *, int64_t **> sizes_, strides_;
  Function<void *, int32_t *> dtype_;
  Function<> float32_, float64_, int64_, cpu_, gpu_;
  void (*set_threads_)(int);
};

/// A program compiled by AOTInductor (torch/csrc/inductor/aoti_runtime/interface.h).
class TorchProgram {
 public:
  /// \param file the shared library
  /// \param device "cpu", "cuda:N"
  /// Throws Error.
  TorchProgram(const TorchLibrary &library, const std::string &file, const std::string &device);
  TorchProgram(const TorchProgram &) = delete;
  ~TorchProgram();

  std::vector<TorchLibrary::Tensor> run(std::vector<TorchLibrary::Tensor> inputs);

 private:
  const TorchLibrary &library_;
  const std::string file_;
  void *container_ = nullptr;
  std::size_t outputs_ = 0;
  int32_t (*run_)(void *, void **, std::size_t, void **, std::size_t, void *, void *);
  int32_t (*delete_)(void *);
};

}    // namespace metalff
