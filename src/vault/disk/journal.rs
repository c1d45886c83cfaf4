//! Hearing of every operation of a thread, in order. Debug builds only.

use std::cell::RefCell;

use super::Operation;

type Listener = Box<dyn FnMut(&Operation<'_>)>;

thread_local! {
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Calls `listener` after each operation of this thread, until what is returned is dropped.
pub fn listen(listener: impl FnMut(&Operation<'_>) + 'static) -> Listening {
    LISTENER.with(|place| *place.borrow_mut() = Some(Box::new(listener)));
    Listening(())
}

/// A thread's operations are heard until it is dropped.
#[derive(Debug)]
#[must_use = "when it is dropped, nothing is heard any more"]
pub struct Listening(());

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENER.with(|place| *place.borrow_mut() = None);
    }
}

/// Whether anybody listens in this thread.
pub(super) fn is_heard() -> bool {
    LISTENER.with(|place| place.try_borrow().is_ok_and(|listener| listener.is_some()))
}

pub(super) fn report(operation: &Operation<'_>) {
    LISTENER.with(|place| {
        // What a listener itself does is not heard.
        if let Ok(mut listener) = place.try_borrow_mut()
            && let Some(listener) = listener.as_mut()
        {
            listener(operation);
        }
    });
}
