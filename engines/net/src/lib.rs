//! yizhan-net
