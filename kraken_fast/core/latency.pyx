# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, auto_pickle=False
"""A latency histogram of fixed size: 16 steps for each power of two, so a percentile is right to 6.25 %.

Adding is a few instructions and allocates nothing. Below 16 ns every nanosecond has a bucket of its own.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset


cdef extern from *:
    """
    static inline int kf_high_bit(unsigned long long v) { return 63 - __builtin_clzll(v); }
    """
    int kf_high_bit(unsigned long long v) noexcept nogil


cdef inline int _bucket(int64_t ns) noexcept nogil:
    cdef int power
    if ns < 16:
        return <int>ns if ns > 0 else 0
    power = kf_high_bit(<uint64_t>ns)                       # 4 to 62
    return 16 * (power - 3) + <int>((ns >> (power - 4)) & 15)


cdef inline int64_t _upper(int bucket) noexcept nogil:
    """The largest value of a bucket."""
    cdef int power
    if bucket < 16:
        return bucket
    power = bucket // 16 + 3
    return <int64_t>(((<uint64_t>(16 + bucket % 16) + 1) << (power - 4)) - 1)   # unsigned: of the last, 2**63 - 1


cdef class Histogram:
    """Counts durations in nanoseconds.

    >>> h = Histogram()
    >>> for ns in (100, 200, 300): h.record(ns)
    >>> h.count, h.max_ns, h.percentile(50)
    (3, 300, 207)
    """

    cdef void add(self, int64_t ns) noexcept:
        # SAFE: an int64 has at most bit 62 set, so the bucket is at most 16 * 59 + 15.
        self.counts[_bucket(ns)] += 1
        self.count += 1
        self._sum_ns += ns
        if ns > self.max_ns:
            self.max_ns = ns

    def record(self, int64_t ns):
        """Count one duration; a negative one counts as 0."""
        self.add(ns if ns > 0 else 0)

    def reset(self):
        """Forget everything."""
        memset(self.counts, 0, sizeof(self.counts))
        self.count = 0
        self.max_ns = 0
        self._sum_ns = 0.0

    @property
    def mean_ns(self):
        """Arithmetic mean, None while empty."""
        return self._sum_ns / self.count if self.count else None

    def percentile(self, double q):
        """The duration in ns that `q` percent do not exceed, right to 6.25 %; None while empty."""
        cdef uint64_t wanted, seen = 0
        cdef int i
        if not 0 <= q <= 100:
            raise ValueError(f"q={q}: must be 0 to 100")
        if not self.count:
            return None
        wanted = max(<uint64_t>1, <uint64_t>(q / 100 * self.count + 0.999999999))
        for i in range(BUCKETS):
            seen += self.counts[i]
            if seen >= wanted:
                return min(_upper(i), self.max_ns)
        return self.max_ns

    def buckets(self):
        """(largest ns, count) of every bucket that is not empty, smallest first."""
        cdef int i
        return [(_upper(i), self.counts[i]) for i in range(BUCKETS) if self.counts[i]]
