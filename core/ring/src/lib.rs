//! yizhan-ring
