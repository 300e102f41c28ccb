// SPDX-License-Identifier: LGPL-2.1-or-later
// Owning pointers for GLib types. A raw pointer is borrowed, always.
#pragma once

#include <memory>
#include <utility>

#include <gio/gio.h>

namespace vdn {

// A reference to a GObject. adopt() takes over a reference that was given (a floating one
// is sunk), ref() adds one.
template <typename T> class ObjPtr {
public:
  ObjPtr() = default;
  ObjPtr(std::nullptr_t) {}
  ObjPtr(const ObjPtr &other) : ptr_(other.ptr_) {
    if (ptr_)
      g_object_ref(ptr_);
  }
  ObjPtr(ObjPtr &&other) noexcept : ptr_(std::exchange(other.ptr_, nullptr)) {}
  ObjPtr &operator=(ObjPtr other) noexcept {
    std::swap(ptr_, other.ptr_);
    return *this;
  }
  ~ObjPtr() {
    if (ptr_)
      g_object_unref(ptr_);
  }

  static ObjPtr adopt(T *ptr) {
    ObjPtr result;
    result.ptr_ = ptr;
    if (ptr && g_object_is_floating(ptr))
      g_object_ref_sink(ptr);
    return result;
  }
  static ObjPtr ref(T *ptr) {
    ObjPtr result;
    result.ptr_ = ptr ? static_cast<T *>(g_object_ref_sink(ptr)) : nullptr;
    return result;
  }

  T *get() const { return ptr_; }
  T *operator->() const { return ptr_; }
  explicit operator bool() const { return ptr_ != nullptr; }
  // Gives the reference away; used on the line of the (transfer full) call.
  T *release() { return std::exchange(ptr_, nullptr); }
  void reset() { *this = ObjPtr(); }
  // For (transfer full) out-parameters, g_object_get() among them.
  T **out() {
    reset();
    return &ptr_;
  }

private:
  T *ptr_ = nullptr;
};

// An object that may be gone by the time it is asked for. Thread: any.
template <typename T> class WeakPtr {
public:
  explicit WeakPtr(T *ptr) { g_weak_ref_init(&ref_, ptr); }
  ~WeakPtr() { g_weak_ref_clear(&ref_); }
  WeakPtr(const WeakPtr &) = delete;
  WeakPtr &operator=(const WeakPtr &) = delete;

  // NULL when it is gone.
  ObjPtr<T> lock() { return ObjPtr<T>::adopt(static_cast<T *>(g_weak_ref_get(&ref_))); }

private:
  GWeakRef ref_;
};

template <auto Function> struct Releaser {
  template <typename T> void operator()(T *ptr) const { Function(ptr); }
};

using StrPtr = std::unique_ptr<gchar, Releaser<g_free>>;
using ErrorPtr = std::unique_ptr<GError, Releaser<g_error_free>>;
using BytesPtr = std::unique_ptr<GBytes, Releaser<g_bytes_unref>>;

} // namespace vdn
