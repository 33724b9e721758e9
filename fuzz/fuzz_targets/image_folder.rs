#![no_main]

use std::panic;
use std::sync::Once;

/// Images are decoded on threads, whose panics the reader turns into errors: those of this thread
/// alone are findings.
static HOOK: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    HOOK.call_once(|| {
        let (aborts, main) = (panic::take_hook(), std::thread::current().id());
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == main {
                aborts(info);
            }
        }));
    });
    l2rw_fuzz::image_folder(bytes);
});
