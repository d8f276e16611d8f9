//! MQTT control packets, version 3.1.1 and 5.0, without I/O.
