//! yizhan-probe
