// Similarity of gradients in Gram form (Ren et al., 2018, equation 25): for every output pixel of
// every example and every clean image, Σ over the clean image's output pixels of
// ⟨input patches⟩ · ⟨output gradients⟩. Linear layers have one pixel.

override EXAMPLES: u32;
override CLEAN: u32;
override HEIGHT: i32;
override WIDTH: i32;
override IN: u32;
override OUT: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override KERNEL_H: i32;
override KERNEL_W: i32;
override STRIDE: i32;
override PAD_TOP: i32;
override PAD_LEFT: i32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> clean_x: array<f32>;
@group(0) @binding(3) var<storage, read> clean_dy: array<f32>;
// [EXAMPLES, pixels, CLEAN]
@group(0) @binding(4) var<storage, read_write> dots: array<f32>;

// First element of the input under tap (ky, kx) of an output pixel, or −1 in the padding.
fn input_at(image: u32, pixel: u32, ky: i32, kx: i32) -> i32 {
    let row = i32(pixel / OUT_WIDTH) * STRIDE + ky - PAD_TOP;
    let column = i32(pixel % OUT_WIDTH) * STRIDE + kx - PAD_LEFT;
    if row < 0 || row >= HEIGHT || column < 0 || column >= WIDTH {
        return -1;
    }
    return ((i32(image) * HEIGHT + row) * WIDTH + column) * i32(IN);
}

@compute @workgroup_size(WORKGROUP)
fn pixel_dots(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    let pixels = OUT_HEIGHT * OUT_WIDTH;
    let clean = i % CLEAN;
    let pixel = i / CLEAN % pixels;
    let example = i / (CLEAN * pixels);
    if example >= EXAMPLES {
        return;
    }
    let first_dy = (example * pixels + pixel) * OUT;
    var sum = 0.0;
    for (var other = 0u; other < pixels; other++) {
        var patches = 0.0;
        for (var ky = 0; ky < KERNEL_H; ky++) {
            for (var kx = 0; kx < KERNEL_W; kx++) {
                let a = input_at(example, pixel, ky, kx);
                let b = input_at(clean, other, ky, kx);
                if a >= 0 && b >= 0 {
                    for (var c = 0u; c < IN; c++) {
                        patches += x[u32(a) + c] * clean_x[u32(b) + c];
                    }
                }
            }
        }
        let first_clean_dy = (clean * pixels + other) * OUT;
        var gradients = 0.0;
        for (var c = 0u; c < OUT; c++) {
            gradients += dy[first_dy + c] * clean_dy[first_clean_dy + c];
        }
        sum += patches * gradients;
    }
    dots[i] = sum;
}
