//! The same computations natively, to compare with the browser's: `native fixture` prints u and w
//! of the fixed step and the seconds of a step of the page's two trainings as JSON, `native train`
//! the accuracies of a run.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), l2rw_web::Failure> {
    use l2rw::gpu::Context;
    use l2rw_web::{Pictures, Session, run_fixture};

    let context = Context::new(None)?;
    match std::env::args().nth(1).as_deref() {
        Some("fixture") => {
            let fixture = pollster::block_on(run_fixture(&context))?;
            let mut fixture = serde_json::to_value(&fixture)?;
            fixture["seconds"] = seconds_of_a_step(&context)?.into();
            println!("{fixture}");
        }
        Some("train") => {
            eprintln!("{}", context.describe());
            let pictures = Pictures::drawn(1);
            let session = Session::new(&context, &pictures, 10, 0.6, 1);
            let mut session = pollster::block_on(session)?;
            for _ in 0..12 {
                let started = std::time::Instant::now();
                pollster::block_on(session.steps(25))?;
                let seconds = started.elapsed().as_secs_f64() / 25.0;
                let now = pollster::block_on(session.progress())?;
                let found = session.suspects(60).iter().filter(|s| s.wrong).count();
                println!(
                    "step {}: plain {:.3}, L2RW {:.3}, {found} of 60 suspects wrong, \
                     {seconds:.4} s for a step of each",
                    now.step, now.plain, now.l2rw
                );
            }
        }
        _ => return Err("say fixture or train".into()),
    }
    Ok(())
}

/// Once all kernels are compiled.
#[cfg(not(target_arch = "wasm32"))]
fn seconds_of_a_step(context: &l2rw::gpu::Context) -> Result<f64, l2rw_web::Failure> {
    const STEPS: usize = 20;
    let pictures = l2rw_web::Pictures::drawn(1);
    let session = l2rw_web::Session::new(context, &pictures, 10, 0.6, 1);
    let mut session = pollster::block_on(session)?;
    pollster::block_on(session.steps(5))?;
    let started = std::time::Instant::now();
    pollster::block_on(session.steps(STEPS))?;
    Ok(started.elapsed().as_secs_f64() / STEPS as f64)
}

#[cfg(target_arch = "wasm32")]
fn main() {}
