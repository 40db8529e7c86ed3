/* What one core can do: the expected calibration error of logits in a single fused pass, nothing checked, nothing kept.
   Compiled by floor.py with -O3 -march=native -ffast-math, so that the compiler uses the widest vectors there are. */
#include <stdint.h>

/* e^x for x <= 0 by powers of two and a polynomial of degree 5: right to two units in the last place. */
static inline float exponential(float x) {
  union { int32_t bits; float value; } power;
  x = x < -87.0f ? -87.0f : x;
  float k = __builtin_rintf(x * 1.4426950408889634f);
  float r = x - k * 0.693359375f + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  power.bits = ((int32_t)k + 127) << 23;
  return p * power.value;
}

/* Adds confidence minus correctness of each row to the bin of its confidence. */
void gaps(const float *scores, const int64_t *labels, int64_t n, int64_t k, int64_t n_bins, double *gap) {
  for (int64_t i = 0; i < n; i++) {
    const float *row = scores + i * k;
    float top = row[0], sum = 0;
    for (int64_t j = 1; j < k; j++) top = row[j] > top ? row[j] : top;
    for (int64_t j = 0; j < k; j++) sum += exponential(row[j] - top);
    double confidence = 1.0 / (double)sum;
    int64_t bin = (int64_t)__builtin_ceil(confidence * n_bins) - 1;
    bin = bin < 0 ? 0 : bin >= n_bins ? n_bins - 1 : bin;
    gap[bin] += confidence - (row[labels[i]] == top);
  }
}
