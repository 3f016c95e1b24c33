//! Defines how a record is treated that has the KPL magic prefix but is not a valid aggregate.

/// How a record is treated that has the KPL magic prefix but is not a valid aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CorruptAggregates {
    /// It is delivered to the handler unchanged.
    #[default]
    Deliver,
    /// Each attempt fails with a [`CorruptAggregate`](crate::policy::CorruptAggregate), and the error policy decides.
    Fail,
}
