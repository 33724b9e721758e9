//! What the documents promise of the code's order, held by reading the files: who may import whom,
//! what each file begins with, which shaders answer one question. Nothing is compiled or run.

mod architecture {
    mod documents;
    mod files;
    mod imports;
    mod methods;
    mod ops;
    mod shaders;
    mod source;
}
