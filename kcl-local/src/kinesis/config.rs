//! What of the engine's behaviour can be chosen.

/// Settings of an [`Engine`](super::Engine).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EngineConfig {}

impl EngineConfig {
    /// For an engine inside a test or a simulation: transitions take no time.
    #[must_use]
    pub fn in_process() -> Self {
        Self::default()
    }

    /// For a server that any client may talk to: transitions take half a second.
    #[must_use]
    pub fn over_http() -> Self {
        Self::default()
    }
}
