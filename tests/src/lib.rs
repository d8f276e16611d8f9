//! Whole-server flows.
