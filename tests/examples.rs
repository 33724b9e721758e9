//! The examples as a user runs them.

mod examples {
    mod audit;
    mod backgroundflip;
    mod interrupted;
    mod support;
}
