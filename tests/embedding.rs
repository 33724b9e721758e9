//! Reweighting inside other programs: the application's device, encoder, buffers and engine.

mod common;

mod embedding {
    mod layers;
    mod levels;
    mod methods;
}
