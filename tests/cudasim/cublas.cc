// SPDX-License-Identifier: Apache-2.0
// cuBLAS's products, computed plainly: each value is one running sum over k in ascending order, in float (or, with
// RETORT_CUDASIM_WIDE=1, in double). TF32 and 16-bit compute modes round the operands first, as the device does.
#include <stdlib.h>
#include <string.h>

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "cublas_v2.h"
#include "sim.h"

using namespace cudasim;

struct cublasContext {
  cudaStream_t stream;
  enum cublasMath_t math;
  int device;
};

namespace {

struct operand { const void *p; enum cudaDataType_t type; long long ld, stride; };
struct product {
  int m, n, k, batch;
  bool ta, tb, pointers; // pointers: a, b, c are arrays of addresses on the device
  float alpha, beta;
  struct operand a, b;
  struct { void *p; enum cudaDataType_t type; long long ld, stride; } c;
  enum cublasComputeType_t compute;
};

size_t size_of(enum cudaDataType_t t) { return t == CUDA_R_32F ? 4 : 2; }

float load(enum cudaDataType_t t, const void *p, size_t i) {
  unsigned short u;
  if (t == CUDA_R_32F) {
    return ((const float *)p)[i];
  }
  u = ((const unsigned short *)p)[i];
  return t == CUDA_R_16BF ? __bfloat162float(__ushort_as_bfloat16(u)) : __half2float(__ushort_as_half(u));
}

void store(enum cudaDataType_t t, void *p, size_t i, float v) {
  if (t == CUDA_R_32F) {
    ((float *)p)[i] = v;
  } else {
    ((unsigned short *)p)[i] = t == CUDA_R_16BF ? __bfloat16_as_ushort(__float2bfloat16_rn(v)) : __half_as_ushort(__float2half_rn(v));
  }
}

float rounded(enum cublasComputeType_t c, float v) {
  if (c == CUBLAS_COMPUTE_32F_FAST_TF32) {
    unsigned u = __float_as_uint(v);
    return (u & 0x7f800000u) == 0x7f800000u ? v : __uint_as_float((u + 0x1000u) & 0xffffe000u);
  }
  return c == CUBLAS_COMPUTE_32F_FAST_16BF ? __bfloat162float(__float2bfloat16_rn(v)) : c == CUBLAS_COMPUTE_32F_FAST_16F ? __half2float(__float2half_rn(v)) : v;
}

// dst(rows, cols), column after column, from a stored matrix (transposed: stored as (cols, rows)).
void pack(const struct operand *o, const void *p, bool transposed, int rows, int cols, enum cublasComputeType_t compute, float *dst) {
  for (int c = 0; c < cols; c++) {
    for (int r = 0; r < rows; r++) {
      size_t at = transposed ? (size_t)c + (size_t)r * (size_t)o->ld : (size_t)r + (size_t)c * (size_t)o->ld;
      dst[(size_t)c * (size_t)rows + (size_t)r] = rounded(compute, load(o->type, p, at));
    }
  }
}

// sum(m) = columns of a times one column of b, four columns of b at a time
template <typename S> __attribute__((always_inline)) inline void columns(int m, int k, const float *a, const float *b, int many, S *sum) {
  S *s0 = sum, *s1 = sum + m, *s2 = sum + 2 * (size_t)m, *s3 = sum + 3 * (size_t)m;
  memset(sum, 0, (size_t)m * (size_t)many * sizeof *sum);
  for (int l = 0; l < k; l++) {
    const float *col = a + (size_t)l * (size_t)m;
    S b0 = b[l], b1 = many > 1 ? b[l + k] : 0, b2 = many > 2 ? b[l + 2 * (size_t)k] : 0, b3 = many > 3 ? b[l + 3 * (size_t)k] : 0;
    if (many == 4) {
      for (int i = 0; i < m; i++) {
        S v = col[i];
        s0[i] += v * b0;
        s1[i] += v * b1;
        s2[i] += v * b2;
        s3[i] += v * b3;
      }
      continue;
    }
    for (int i = 0; i < m; i++) {
      S v = col[i];
      s0[i] += v * b0;
      if (many > 1) s1[i] += v * b1;
      if (many > 2) s2[i] += v * b2;
    }
  }
}

#if defined(__x86_64__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif
CLONES void columns_float(int m, int k, const float *a, const float *b, int many, float *sum) { columns(m, k, a, b, many, sum); }
CLONES void columns_double(int m, int k, const float *a, const float *b, int many, double *sum) { columns(m, k, a, b, many, sum); }

void check(const struct product *p, const void *a, const void *b, void *c) {
  size_t ea = size_of(p->a.type), eb = size_of(p->b.type), ec = size_of(p->c.type);
  op_access(a, (size_t)(p->ta ? p->k : p->m) * ea, (size_t)p->a.ld * ea, (size_t)(p->ta ? p->m : p->k), OP_READ, "matrix a");
  op_access(b, (size_t)(p->tb ? p->n : p->k) * eb, (size_t)p->b.ld * eb, (size_t)(p->tb ? p->k : p->n), OP_READ, "matrix b");
  if (p->beta != 0) {
    op_access(c, (size_t)p->m * ec, (size_t)p->c.ld * ec, (size_t)p->n, OP_READ, "matrix c (beta is not 0)");
  }
  op_access(c, (size_t)p->m * ec, (size_t)p->c.ld * ec, (size_t)p->n, OP_WRITE, "matrix c");
  if (((uintptr_t)a % ea) | ((uintptr_t)b % eb) | ((uintptr_t)c % ec)) {
    fault_at(FAULT_MISALIGNED, NULL, "%s: a matrix is not aligned to its elements", running->what);
  }
}

void multiply(const struct product *p, const void *a, const void *b, void *c) {
  bool wide = settings_get().wide;
  size_t m = (size_t)p->m, n = (size_t)p->n, k = (size_t)p->k;
  check(p, a, b, c);
  float *pa = (float *)malloc((m * k + k * n + 1) * sizeof *pa), *pb = pa + m * k;
  void *sum = malloc(4 * m * sizeof(double));
  pack(&p->a, a, p->ta, p->m, p->k, p->compute, pa);
  pack(&p->b, b, p->tb, p->k, p->n, p->compute, pb);
  for (size_t j = 0; j < n; j += 4) {
    int many = n - j < 4 ? (int)(n - j) : 4;
    if (wide) {
      columns_double(p->m, p->k, pa, pb + j * k, many, (double *)sum);
    } else {
      columns_float(p->m, p->k, pa, pb + j * k, many, (float *)sum);
    }
    for (size_t x = 0; x < (size_t)many; x++) {
      for (size_t i = 0; i < m; i++) {
        float s = wide ? (float)((double *)sum)[x * m + i] : ((float *)sum)[x * m + i];
        size_t at = i + (j + x) * (size_t)p->c.ld;
        float v = p->alpha * s;
        if (p->beta != 0) {
          v += p->beta * load(p->c.type, c, at);
        }
        store(p->c.type, c, at, v);
      }
    }
  }
  free(sum);
  free(pa);
}

void run_product(void *data) {
  const struct product *p = (const struct product *)data;
  for (int i = 0; i < p->batch; i++) {
    if (p->pointers) {
      size_t bytes = (size_t)p->batch * sizeof(void *);
      op_access(p->a.p, bytes, bytes, 1, OP_READ, "the addresses of a");
      op_access(p->b.p, bytes, bytes, 1, OP_READ, "the addresses of b");
      op_access(p->c.p, bytes, bytes, 1, OP_READ, "the addresses of c");
      multiply(p, ((const void *const *)p->a.p)[i], ((const void *const *)p->b.p)[i], ((void *const *)p->c.p)[i]);
    } else {
      multiply(p, (const char *)p->a.p + (long long)i * p->a.stride * (long long)size_of(p->a.type),
               (const char *)p->b.p + (long long)i * p->b.stride * (long long)size_of(p->b.type),
               (char *)p->c.p + (long long)i * p->c.stride * (long long)size_of(p->c.type));
    }
  }
}

bool known(enum cudaDataType_t t) { return t == CUDA_R_32F || t == CUDA_R_16BF || t == CUDA_R_16F; }

cublasStatus_t submit(cublasHandle_t h, const char *what, struct product p, const void *alpha, const void *beta) {
  api_lock lock;
  if (!h) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  if (may_fail()) {
    cudaGetLastError();
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  if (on_device(alpha) || on_device(beta)) {
    fault_at(FAULT_DEVICE_POINTER, NULL, "%s: alpha and beta are read on the host", what);
  }
  int rows_a = p.ta ? p.k : p.m, rows_b = p.tb ? p.n : p.k;
  if (p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0 || p.a.ld < (rows_a > 1 ? rows_a : 1) || p.b.ld < (rows_b > 1 ? rows_b : 1) || p.c.ld < (p.m > 1 ? p.m : 1)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!known(p.a.type) || p.a.type != p.b.type || (p.c.type != CUDA_R_32F && p.c.type != p.a.type)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (p.compute == CUBLAS_COMPUTE_32F && h->math == CUBLAS_TF32_TENSOR_OP_MATH) {
    p.compute = CUBLAS_COMPUTE_32F_FAST_TF32;
  }
  if (p.a.type != CUDA_R_32F) {
    p.compute = CUBLAS_COMPUTE_32F;
  }
  p.alpha = *(const float *)alpha;
  p.beta = *(const float *)beta;
  if (p.m == 0 || p.n == 0 || p.batch == 0) {
    return CUBLAS_STATUS_SUCCESS;
  }
  struct work w = {what, NULL, 0, false, run_product, &p, sizeof p, NULL, 0};
  return enqueue(h->stream, &w) ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

} // namespace

extern "C" {
cublasStatus_t cublasCreate(cublasHandle_t *handle) {
  api_lock lock;
  *handle = NULL;
  if (may_fail()) {
    cudaGetLastError();
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  *handle = new cublasContext();
  (*handle)->device = current_device();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t *stream) {
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, enum cublasMath_t mode) {
  handle->math = (enum cublasMath_t)(mode & 15);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t, void *workspace, size_t bytes) {
  api_lock lock;
  const struct alloc *a = alloc_find(workspace);
  if (bytes && (!a || (uintptr_t)workspace + bytes > a->base + a->bytes)) {
    fault_at(FAULT_BOUNDS, NULL, "cublasSetWorkspace: %zu bytes at %s", bytes, where_is(workspace).c_str());
  }
  return (uintptr_t)workspace % 256 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t, enum cublasPointerMode_t mode) {
  return mode == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, enum cublasAtomicsMode_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasGetVersion(cublasHandle_t, int *version) {
  *version = 130000;
  return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusName(cublasStatus_t s) {
  switch (s) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    default: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
}

const char *cublasGetStatusString(cublasStatus_t s) { return cublasGetStatusName(s); }

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, enum cublasOperation_t ta, enum cublasOperation_t tb, int m, int n, int k,
                                          const void *alpha, const void *a, enum cudaDataType_t a_type, int lda, long long stride_a,
                                          const void *b, enum cudaDataType_t b_type, int ldb, long long stride_b, const void *beta, void *c,
                                          enum cudaDataType_t c_type, int ldc, long long stride_c, int batch, enum cublasComputeType_t compute,
                                          enum cublasGemmAlgo_t) {
  struct product p = {m, n, k, batch, ta != CUBLAS_OP_N, tb != CUBLAS_OP_N, false, 0, 0, {a, a_type, lda, stride_a}, {b, b_type, ldb, stride_b},
                      {c, c_type, ldc, stride_c}, compute};
  return submit(handle, "cublasGemmStridedBatchedEx", p, alpha, beta);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, enum cublasOperation_t ta, enum cublasOperation_t tb, int m, int n, int k, const void *alpha,
                            const void *a, enum cudaDataType_t a_type, int lda, const void *b, enum cudaDataType_t b_type, int ldb, const void *beta,
                            void *c, enum cudaDataType_t c_type, int ldc, enum cublasComputeType_t compute, enum cublasGemmAlgo_t) {
  struct product p = {m, n, k, 1, ta != CUBLAS_OP_N, tb != CUBLAS_OP_N, false, 0, 0, {a, a_type, lda, 0}, {b, b_type, ldb, 0}, {c, c_type, ldc, 0}, compute};
  return submit(handle, "cublasGemmEx", p, alpha, beta);
}

cublasStatus_t cublasGemmBatchedEx(cublasHandle_t handle, enum cublasOperation_t ta, enum cublasOperation_t tb, int m, int n, int k, const void *alpha,
                                   const void *const a[], enum cudaDataType_t a_type, int lda, const void *const b[], enum cudaDataType_t b_type,
                                   int ldb, const void *beta, void *const c[], enum cudaDataType_t c_type, int ldc, int batch,
                                   enum cublasComputeType_t compute, enum cublasGemmAlgo_t) {
  struct product p = {m, n, k, batch, ta != CUBLAS_OP_N, tb != CUBLAS_OP_N, true, 0, 0, {a, a_type, lda, 0}, {b, b_type, ldb, 0}, {(void *)c, c_type, ldc, 0}, compute};
  return submit(handle, "cublasGemmBatchedEx", p, alpha, beta);
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, enum cublasOperation_t ta, enum cublasOperation_t tb, int m, int n, int k, const float *alpha,
                           const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc) {
  return cublasGemmEx(handle, ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c, CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, enum cublasOperation_t ta, enum cublasOperation_t tb, int m, int n, int k,
                                         const float *alpha, const float *a, int lda, long long stride_a, const float *b, int ldb, long long stride_b,
                                         const float *beta, float *c, int ldc, long long stride_c, int batch) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, stride_a, b, CUDA_R_32F, ldb, stride_b, beta, c, CUDA_R_32F, ldc,
                                    stride_c, batch, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
}
