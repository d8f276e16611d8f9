//! yizhan-admin
