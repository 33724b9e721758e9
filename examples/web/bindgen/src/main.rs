//! Writes JavaScript's half of a WebAssembly module: `bindgen in.wasm out_folder`. It is what
//! `wasm-bindgen --target web --no-typescript` does, without the servers that come with that.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder] = arguments.as_slice() else {
        eprintln!("usage: l2rw_web_bindgen in.wasm out_folder");
        std::process::exit(2);
    };
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_path(input).typescript(false).omit_default_module_path(false);
    bindgen.remove_name_section(true).remove_producers_section(true);
    let written = bindgen.web(true).and_then(|bindgen| bindgen.generate(folder));
    if let Err(error) = written {
        eprintln!("{input}: {error:#}");
        std::process::exit(1);
    }
}
