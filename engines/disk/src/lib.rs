//! yizhan-disk
