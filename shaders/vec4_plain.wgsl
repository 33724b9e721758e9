// Four floats as they lie in storage: as a vec4.
alias Stored4 = vec4<f32>;

fn load4(a: Stored4) -> vec4<f32> {
    return a;
}
