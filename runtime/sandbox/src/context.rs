//! WASI contexts of a dyno: made once and handed from an instance that has ended to the next.
//!
//! Making one opens a file per directory and copies the whole environment, which is most of what a new instance
//! costs beside wasmtime. What an instance leaves in it is nothing that another could see: directories,
//! environment and arguments are the dyno's and cannot be changed, and random generators only go on.

use crate::limits::CONTEXTS_KEPT_MAX;
use crate::stdio::LineStream;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime_wasi::WasiCtx;

/// Contexts without an instance, all made from one specification.
#[derive(Default)]
pub(crate) struct ContextPool(Arc<Mutex<Vec<Context>>>);

/// Empty: the clone of a specification may be changed.
impl Clone for ContextPool {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for ContextPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("ContextPool")
            .field(&kept(&self.0).len())
            .finish()
    }
}

pub(crate) struct Context {
    pub(crate) wasi: WasiCtx,
    /// What is written to standard output and error.
    pub(crate) output: Vec<LineStream>,
}

/// A context while an instance has it. Its last lines are given out when it goes back.
pub(crate) struct LeasedContext {
    context: Option<Context>,
    home: Arc<Mutex<Vec<Context>>>,
}

impl LeasedContext {
    pub(crate) fn take(
        pool: &ContextPool,
        make: impl FnOnce() -> wasmtime::Result<Context>,
    ) -> wasmtime::Result<Self> {
        let ContextPool(home) = pool;
        let left = kept(home).pop();
        let context = match left {
            Some(context) => context,
            None => make()?,
        };
        Ok(Self {
            context: Some(context),
            home: home.clone(),
        })
    }

    pub(crate) fn wasi(&mut self) -> &mut WasiCtx {
        let context = self.context.as_mut();
        &mut context.expect("a context is taken only by the drop").wasi
    }
}

impl Drop for LeasedContext {
    fn drop(&mut self) {
        let Some(context) = self.context.take() else {
            return;
        };
        for stream in &context.output {
            stream.end_line();
        }
        let mut kept = kept(&self.home);
        if kept.len() < CONTEXTS_KEPT_MAX {
            kept.push(context);
        }
    }
}

fn kept(pool: &Mutex<Vec<Context>>) -> MutexGuard<'_, Vec<Context>> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stdio::LineSink;
    use wasmtime_wasi::WasiCtxBuilder;
    use wasmtime_wasi::p2::OutputStream;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl LineSink for Lines {
        fn line(&self, text: String) {
            self.0.lock().unwrap().push(text);
        }
    }

    fn lease(pool: &ContextPool, lines: &Arc<Lines>, made: &mut usize) -> LeasedContext {
        let make = || {
            *made += 1;
            Ok(Context {
                wasi: WasiCtxBuilder::new().build(),
                output: vec![LineStream::new(lines.clone())],
            })
        };
        LeasedContext::take(pool, make).unwrap()
    }

    #[test]
    fn a_context_is_handed_on_when_its_last_line_is_out() {
        let (pool, lines, mut made) = (ContextPool::default(), Arc::default(), 0);
        for text in ["first", "second"] {
            let lease = lease(&pool, &lines, &mut made);
            let mut output = lease.context.as_ref().unwrap().output[0].clone();
            OutputStream::write(&mut output, text.into()).unwrap();
        }
        assert_eq!(made, 1);
        assert_eq!(*lines.0.lock().unwrap(), ["first", "second"]);
    }

    #[test]
    fn a_dyno_keeps_so_many_and_drops_one_more() {
        let (pool, lines, mut made) = (ContextPool::default(), Arc::default(), 0);
        let leases: Vec<_> = (0..=CONTEXTS_KEPT_MAX)
            .map(|_| lease(&pool, &lines, &mut made))
            .collect();
        assert_eq!(made, CONTEXTS_KEPT_MAX + 1);
        drop(leases);
        assert_eq!(kept(&pool.0).len(), CONTEXTS_KEPT_MAX);
        assert_eq!(kept(&pool.clone().0).len(), 0);
    }
}
