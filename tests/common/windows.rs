//! Windows that no symmetry can hide behind.

use l2rw::ops::Window;

pub fn windows() -> Vec<Window> {
    vec![
        Window::same(5, 7, 3, 2, 3, 1),
        Window::same(6, 5, 2, 3, 3, 2),
        Window::same(7, 4, 2, 3, 5, 2),
        Window::same(5, 4, 1, 2, 5, 1),
        Window::same(5, 3, 3, 4, 1, 1),
        Window::same(5, 6, 3, 2, 1, 2),
        Window::padded(6, 5, 2, 3, 3, 2, 1),
        Window::padded(5, 8, 2, 3, 3, 1, 0),
        Window::padded(7, 5, 1, 2, 5, 1, 2),
        Window::padded(7, 6, 2, 3, 5, 2, 1),
        Window::padded(3, 4, 2, 3, 1, 2, 1),
        Window::padded(6, 7, 2, 3, 7, 2, 3),
        Window::linear(6, 4),
        Window { kernel_w: 2, pad_left: 0, ..Window::same(4, 5, 2, 3, 3, 1) },
    ]
}
