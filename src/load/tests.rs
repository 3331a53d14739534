//! Tests of sorting outside of memory: whatever fits, the last value and the first form of each key come in order.
