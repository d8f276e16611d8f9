//! Playback over HTTP: HLS, DASH, HTTP-FLV.
