//! The door of RTMP.
