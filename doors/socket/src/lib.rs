//! yizhan-socket
