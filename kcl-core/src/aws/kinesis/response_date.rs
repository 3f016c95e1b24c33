//! Reads the service's time from a response's `Date` header.

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::sync::{Arc, OnceLock};

/// Keeps the date of the first response.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseDate(Arc<OnceLock<i64>>);

impl ResponseDate {
    /// Returns the date in milliseconds since the Unix epoch; the header has whole seconds.
    pub(super) fn millis(&self) -> Option<i64> {
        self.0.get().copied()
    }
}

impl Intercept for ResponseDate {
    fn name(&self) -> &'static str {
        "ResponseDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date =
            context.response().headers().get("date").and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        if let Some(ms) = date.and_then(|date| date.to_millis().ok()) {
            self.0.get_or_init(|| ms);
        }
        Ok(())
    }
}
