//! The registered fan-out consumers of a stream.

use std::collections::BTreeMap;

use super::subscription_slot::SubscriptionSlot;
use crate::kinesis::address::consumer_arn;
use crate::kinesis::model::{Consumer as Description, ConsumerDescription, ConsumerStatus};
use crate::kinesis::{EngineTime, ShardId};

/// A consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) created: EngineTime,
    phase: Phase,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) policy: Option<String>,
    /// A slot for each shard to which the consumer has subscribed.
    pub(crate) slots: BTreeMap<ShardId, SubscriptionSlot>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Creating { until: EngineTime },
    Active,
    Deleting { until: EngineTime },
}

impl Consumer {
    pub(crate) fn status(&self) -> ConsumerStatus {
        match self.phase {
            Phase::Creating { .. } => ConsumerStatus::Creating,
            Phase::Active => ConsumerStatus::Active,
            Phase::Deleting { .. } => ConsumerStatus::Deleting,
        }
    }

    /// The time of the next state transition.
    pub(crate) fn changes_at(&self) -> Option<EngineTime> {
        match self.phase {
            Phase::Creating { until } | Phase::Deleting { until } => Some(until),
            Phase::Active => None,
        }
    }

    pub(crate) fn delete(&mut self, until: EngineTime) {
        self.phase = Phase::Deleting { until };
    }

    pub(crate) fn describe(&self) -> Description {
        Description {
            consumer_name: self.name.clone(),
            consumer_arn: self.arn.clone(),
            consumer_status: self.status(),
            consumer_creation_timestamp: self.created.into(),
        }
    }

    pub(crate) fn describe_with_stream(&self, stream_arn: String) -> ConsumerDescription {
        let Description { consumer_name, consumer_arn, consumer_status, consumer_creation_timestamp } = self.describe();
        ConsumerDescription { consumer_name, consumer_arn, consumer_status, consumer_creation_timestamp, stream_arn }
    }
}

/// The consumers of a stream, by name.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    by_name: BTreeMap<String, Consumer>,
    /// The newest epoch in an ARN, so that a consumer that is registered again within a second has
    /// another ARN.
    newest_epoch: BTreeMap<String, i64>,
}

impl Consumers {
    pub(crate) fn advance(&mut self, now: EngineTime) {
        self.by_name.retain(|_, consumer| match consumer.phase {
            Phase::Creating { until } if until <= now => {
                consumer.phase = Phase::Active;
                true
            }
            Phase::Deleting { until } => until > now,
            Phase::Creating { .. } | Phase::Active => true,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn creating(&self) -> usize {
        self.by_name.values().filter(|consumer| consumer.status() == ConsumerStatus::Creating).count()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Consumer> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Consumer> {
        self.by_name.get_mut(name)
    }

    /// The consumer whose ARN ends in `name:epoch`.
    pub(crate) fn by_arn_mut(&mut self, name_and_epoch: &str) -> Option<&mut Consumer> {
        let (name, _) = name_and_epoch.rsplit_once(':')?;
        self.by_name.get_mut(name).filter(|consumer| consumer.arn.ends_with(&format!("/{name_and_epoch}")))
    }

    /// Consumers with names after `name`, or all consumers.
    pub(crate) fn after(&self, name: Option<&str>) -> impl Iterator<Item = &Consumer> {
        self.by_name.values().filter(move |consumer| name.is_none_or(|name| consumer.name.as_str() > name))
    }

    pub(crate) fn register(
        &mut self,
        stream_arn: &str,
        name: &str,
        tags: BTreeMap<String, String>,
        now: EngineTime,
        active: EngineTime,
    ) {
        let newest = self.newest_epoch.entry(name.to_owned()).or_insert(i64::MIN);
        let epoch = now.seconds().max(newest.saturating_add(1));
        *newest = epoch;
        let consumer = Consumer {
            name: name.to_owned(),
            arn: consumer_arn(stream_arn, name, epoch),
            created: now,
            phase: Phase::Creating { until: active },
            tags,
            policy: None,
            slots: BTreeMap::new(),
        };
        self.by_name.insert(name.to_owned(), consumer);
    }
}
