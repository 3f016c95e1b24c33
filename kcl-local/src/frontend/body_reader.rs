//! Reads request bodies, with limits on the size of a body, on the size of all bodies together, and
//! on time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::wire::MAX_BODY;

/// A body that is too large is read and discarded up to this size, because a client that is still
/// sending would see a reset connection instead of the answer. A larger body is refused without
/// reading it.
const MAX_DISCARDED: usize = 2 * MAX_BODY;
/// Maximum size of all bodies in memory together.
const MAX_BUFFERED: usize = 16 * MAX_BODY;
/// A client that takes longer to send its body has stopped.
const DEADLINE: Duration = Duration::from_secs(30);

/// Reads bodies within a common budget of memory.
#[derive(Clone, Debug)]
pub(super) struct BodyReader(Arc<Semaphore>);

/// A body with its share of the memory budget.
#[derive(Debug)]
pub(super) struct ReadBody {
    pub(super) body: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// The reason why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    /// Other bodies use the whole memory budget.
    OutOfBudget,
    TooSlow,
    Broken,
}

impl Default for BodyReader {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BUFFERED)))
    }
}

impl BodyReader {
    pub(super) async fn read(&self, body: Body) -> Result<ReadBody, BodyError> {
        tokio::time::timeout(DEADLINE, self.collect(body)).await.unwrap_or(Err(BodyError::TooSlow))
    }

    /// Counts only received bytes against the budget, so that a declared length alone uses no
    /// memory.
    async fn collect(&self, mut body: Body) -> Result<ReadBody, BodyError> {
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > MAX_DISCARDED {
            return Err(BodyError::TooLarge);
        }
        let (mut whole, mut received, mut share) = (Vec::new(), 0_usize, None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            received = received.saturating_add(data.len());
            if received > MAX_DISCARDED {
                return Err(BodyError::TooLarge);
            }
            if received.max(declared) > MAX_BODY {
                (whole, share) = (Vec::new(), None);
                continue;
            }
            let more = u32::try_from(data.len()).map_err(|_| BodyError::TooLarge)?;
            let more = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| BodyError::OutOfBudget)?;
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
            whole.extend_from_slice(&data);
        }
        if received > MAX_BODY { Err(BodyError::TooLarge) } else { Ok(ReadBody { body: whole.into(), _share: share }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream::{self, StreamExt as _};
    use http_body::{Frame, SizeHint};
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Declares a length and sends nothing.
    struct Declared(u64);

    impl http_body::Body for Declared {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0)
        }
    }

    fn chunks(count: usize, bytes: usize) -> Body {
        Body::from_stream(stream::iter(vec![Ok::<_, Infallible>(Bytes::from(vec![0; bytes])); count]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_huge_declared_length_is_refused_unread_and_a_body_that_never_arrives_has_a_deadline() {
        let reader = BodyReader::default();
        assert_eq!(reader.read(Body::new(Declared(1 << 30))).await.unwrap_err(), BodyError::TooLarge);
        let began = tokio::time::Instant::now();
        assert_eq!(reader.read(Body::new(Declared(1 << 20))).await.unwrap_err(), BodyError::TooSlow);
        assert_eq!(began.elapsed(), DEADLINE);
        assert_eq!(reader.0.available_permits(), MAX_BUFFERED, "they use none of the budget");
    }

    #[tokio::test]
    async fn a_body_without_a_length_is_refused_when_it_becomes_too_large() {
        let reader = BodyReader::default();
        let whole = reader.read(chunks(16, MAX_BODY / 16)).await.unwrap();
        assert_eq!(whole.body.len(), MAX_BODY);
        assert_eq!(reader.read(chunks(17, MAX_BODY / 16)).await.unwrap_err(), BodyError::TooLarge);
        let endless = stream::repeat(Bytes::from(vec![0; MAX_BODY / 16])).map(Ok::<_, Infallible>);
        assert_eq!(reader.read(Body::from_stream(endless)).await.unwrap_err(), BodyError::TooLarge);
        assert_eq!(reader.0.available_permits(), MAX_BUFFERED - MAX_BODY);
    }

    #[tokio::test]
    async fn all_bodies_together_are_bounded() {
        let reader = BodyReader::default();
        let mut bodies = Vec::new();
        for _ in 0..16 {
            bodies.push(reader.read(chunks(1, MAX_BODY)).await.unwrap());
        }
        assert_eq!(reader.read(chunks(1, 1)).await.unwrap_err(), BodyError::OutOfBudget);
        bodies.pop();
        assert_eq!(reader.read(chunks(1, 1)).await.unwrap().body.len(), 1);
    }
}
