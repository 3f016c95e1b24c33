//! Derives the settings of one of several streams from the worker's settings. Pure.

use crate::config::{Retrieval, Settings};
use crate::error::{Code, Error};
use crate::record::StreamRef;
use crate::worker::builder::check_consumer;

/// The settings that a stream overrides.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadOverrides {
    pub(super) retrieval: Option<Retrieval>,
    pub(super) consumer_name: Option<String>,
    pub(super) consumer_arn: Option<String>,
}

impl ReadOverrides {
    /// The worker's settings with this stream's overrides.
    ///
    /// # Errors
    /// [`Code::Setting`] if they contradict each other, or if the consumer belongs to another
    /// stream.
    pub(super) fn settings(&self, of_worker: &Settings, stream: &StreamRef) -> Result<Settings, Error> {
        let mut settings = of_worker.clone();
        settings.retrieval = self.retrieval.unwrap_or(of_worker.retrieval);
        let is_polled = settings.retrieval == Retrieval::Polling;
        // The worker's consumer name applies to all streams, also if this one is polled and needs
        // no consumer.
        let (name, arn) = (self.consumer_name.clone(), self.consumer_arn.clone());
        let of_all = of_worker.consumer_name.clone().filter(|_| arn.is_none() && !is_polled);
        settings.consumer_name = name.or(of_all);
        settings.deregister_consumer = of_worker.deregister_consumer && arn.is_none() && !is_polled;
        settings.consumer_arn = arn;
        let wrong = settings.consumer_violations();
        if !wrong.is_empty() {
            return Err(Error::new(Code::Setting, format!("stream `{stream}`: {}", wrong.join("; "))));
        }
        check_consumer(&settings, stream)?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kinesis:eu-west-1:111111111111:stream/orders";

    fn orders() -> StreamRef {
        StreamRef::from(ARN)
    }

    fn fan_out() -> Settings {
        Settings::default().retrieval(Retrieval::FanOut).consumer_name("all").deregister_consumer(true)
    }

    fn named(name: &str) -> ReadOverrides {
        ReadOverrides { consumer_name: Some(name.to_owned()), ..ReadOverrides::default() }
    }

    fn by_arn(of: &str) -> ReadOverrides {
        ReadOverrides { consumer_arn: Some(format!("{of}/consumer/mine:1700000000")), ..ReadOverrides::default() }
    }

    fn applied(reading: &ReadOverrides, of_worker: &Settings, stream: &StreamRef) -> (Retrieval, Option<String>, bool) {
        let settings = reading.settings(of_worker, stream).unwrap();
        (settings.retrieval, settings.consumer_arn.or(settings.consumer_name), settings.deregister_consumer)
    }

    #[test]
    fn a_stream_without_overrides_has_the_workers_settings() {
        let all = (Retrieval::FanOut, Some("all".to_owned()), true);
        assert_eq!(applied(&ReadOverrides::default(), &fan_out(), &orders()), all);
    }

    #[test]
    fn a_stream_may_have_its_own_consumer_and_one_by_arn_is_never_deregistered() {
        assert_eq!(applied(&named("mine"), &fan_out(), &orders()), (Retrieval::FanOut, Some("mine".to_owned()), true));
        let arn = format!("{ARN}/consumer/mine:1700000000");
        assert_eq!(applied(&by_arn(ARN), &fan_out(), &orders()), (Retrieval::FanOut, Some(arn), false));
    }

    #[test]
    fn a_polled_stream_needs_no_consumer() {
        let polled = ReadOverrides { retrieval: Some(Retrieval::Polling), ..ReadOverrides::default() };
        assert_eq!(applied(&polled, &fan_out(), &orders()), (Retrieval::Polling, None, false));
        let pushed = ReadOverrides { retrieval: Some(Retrieval::Auto), ..ReadOverrides::default() };
        assert_eq!(applied(&pushed, &Settings::default(), &orders()), (Retrieval::Auto, None, false));
    }

    #[track_caller]
    fn refused(reading: &ReadOverrides, of_worker: &Settings, because: &str) {
        let error = reading.settings(of_worker, &orders()).unwrap_err();
        assert_eq!(error.code(), Code::Setting);
        let error = error.to_string();
        assert!(error.contains(because) && error.contains(ARN), "{error}");
    }

    #[test]
    fn a_refusal_names_the_stream() {
        refused(&named("mine"), &Settings::default(), "have no effect if `retrieval` is `polling`");
        refused(&by_arn(ARN), &Settings::default(), "have no effect if `retrieval` is `polling`");
        refused(&named("no spaces"), &fan_out(), "expected 1 to 128 letters");
        let both = ReadOverrides { consumer_name: Some("mine".to_owned()), ..by_arn(ARN) };
        refused(&both, &fan_out(), "both name a consumer");
        refused(&by_arn(&ARN.replace("orders", "payments")), &fan_out(), "a consumer of another stream");
        refused(&by_arn(&ARN.replace("eu-west-1", "us-east-1")), &fan_out(), "a consumer of another stream");
    }
}
