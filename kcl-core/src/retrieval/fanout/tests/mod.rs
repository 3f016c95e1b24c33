//! Whole readers, on a stream that misbehaves, under virtual time.

mod bridging;
mod healing;
mod registering;
mod service;
