//! yizhan-identity
