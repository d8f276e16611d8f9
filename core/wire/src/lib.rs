//! yizhan-wire
