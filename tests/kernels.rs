//! Every kernel against its CPU twin, element by element, with and without naga's runtime checks,
//! and in the languages of every graphics API.

mod common;

mod kernels {
    mod adamw;
    mod add;
    mod batch;
    mod bias;
    mod conv;
    mod dropout;
    mod dual;
    mod example_weights;
    mod gelu;
    mod gram;
    mod import;
    mod matmul;
    mod norm;
    mod not_finite;
    mod pad;
    mod pool;
    mod portability;
    mod reduce;
    mod relu;
    mod rng;
    mod sample;
    mod sgd;
    mod shortcut;
    mod softmax_cross_entropy;
    mod translation;
    mod trust;
}
