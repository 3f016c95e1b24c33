//! The project's documentation: guides, guarantees, the coordination protocol, the glossary.
//!
//! The same pages are in the folder `docs` of the repository. There their links lead to files; here
//! a definition that comes first leads to the module of the page.

#[doc = "[protocol]: crate::docs::protocol"]
#[doc = ""]
#[doc = include_str!("../docs/guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("../docs/glossary.md")]
pub mod glossary {}

#[doc = include_str!("../docs/aws-errors.md")]
pub mod aws_errors {}

/// Guides: one page for each task.
pub mod guide {
    #[doc = "[failures]: crate::docs::guide::failures"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/handling.md")]
    pub mod handling {}

    #[doc = include_str!("../docs/guide/failures.md")]
    pub mod failures {}

    #[doc = include_str!("../docs/guide/reading.md")]
    pub mod reading {}

    #[doc = include_str!("../docs/guide/several-streams.md")]
    pub mod several_streams {}

    #[doc = include_str!("../docs/guide/replay.md")]
    pub mod replay {}

    #[doc = include_str!("../docs/guide/aws.md")]
    pub mod aws {}

    #[doc = "[metrics-page]: crate::telemetry"]
    #[doc = ""]
    #[doc = include_str!("../docs/guide/logs.md")]
    pub mod logs {}

    #[doc = include_str!("../docs/guide/java.md")]
    pub mod java {}

    #[doc = include_str!("../docs/guide/local.md")]
    pub mod local {}
}

#[doc = "[glossary]: crate::docs::glossary"]
#[doc = "[sessions]: crate::docs::protocol::sessions"]
#[doc = "[starting]: crate::docs::protocol::starting"]
#[doc = "[leader]: crate::docs::protocol::leader"]
#[doc = "[assignment]: crate::docs::protocol::assignment"]
#[doc = "[claiming]: crate::docs::protocol::claiming"]
#[doc = "[handoff-and-shutdown]: crate::docs::protocol::handoff_and_shutdown"]
#[doc = "[checkpoints]: crate::docs::protocol::checkpoints"]
#[doc = "[resharding]: crate::docs::protocol::resharding"]
#[doc = "[several-streams]: crate::docs::protocol::several_streams"]
#[doc = "[replay]: crate::docs::protocol::replay"]
#[doc = "[external-writers]: crate::docs::protocol::external_writers"]
#[doc = "[architecture]: https://github.com/kcl-rs/kcl/blob/main/ARCHITECTURE.md"]
#[doc = ""]
#[doc = include_str!("../docs/protocol/README.md")]
pub mod protocol {
    #[doc = "[the-fencing-token]: crate::docs::protocol::checkpoints#the-fencing-token"]
    #[doc = ""]
    #[doc = include_str!("../docs/protocol/sessions.md")]
    pub mod sessions {}

    #[doc = include_str!("../docs/protocol/starting.md")]
    pub mod starting {}

    #[doc = "[assignment]: crate::docs::protocol::assignment"]
    #[doc = ""]
    #[doc = include_str!("../docs/protocol/leader.md")]
    pub mod leader {}

    #[doc = include_str!("../docs/protocol/assignment.md")]
    pub mod assignment {}

    #[doc = include_str!("../docs/protocol/claiming.md")]
    pub mod claiming {}

    #[doc = "[external-writers]: crate::docs::protocol::external_writers"]
    #[doc = ""]
    #[doc = include_str!("../docs/protocol/checkpoints.md")]
    pub mod checkpoints {}

    #[doc = include_str!("../docs/protocol/handoff-and-shutdown.md")]
    pub mod handoff_and_shutdown {}

    #[doc = include_str!("../docs/protocol/resharding.md")]
    pub mod resharding {}

    #[doc = include_str!("../docs/protocol/several-streams.md")]
    pub mod several_streams {}

    #[doc = include_str!("../docs/protocol/replay.md")]
    pub mod replay {}

    #[doc = include_str!("../docs/protocol/external-writers.md")]
    pub mod external_writers {}
}
