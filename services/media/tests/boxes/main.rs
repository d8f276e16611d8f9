//! CMAF, MPEG-TS and what cuts them, looked at from outside: by parsers that are not ours, and by ffmpeg where there is
//! one.

mod cutting;
mod made;
mod parse;
mod players;
mod samples;
mod source;
mod transport;
