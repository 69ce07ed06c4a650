//! The step on the CPU: one loop over a parameter, in threads where it is long.

use burn::backend::{Flex, TensorMetadata, tensor::FloatTensor};
use burn::tensor::{Shape, TensorData};
use rayon::prelude::*;

use super::backend::{AdamBackend, AdamStep, Stepped};

/// Elements that a task takes.
const BLOCK: usize = 1 << 14;

type T = FloatTensor<Flex>;

fn tensor(values: Vec<f32>, shape: &Shape) -> T {
    T::from_data(TensorData::new(values, shape.clone()))
}

impl AdamBackend for Flex {
    fn adam(
        value: T,
        grad: T,
        first: T,
        second: T,
        factor: T,
        course: T,
        step: AdamStep,
    ) -> Stepped<Self> {
        let shape = value.shape();
        let (factor, course) = (factor.to_contiguous(), course.to_contiguous());
        let factor = factor.storage::<f32>()[0];
        let course = course.storage::<f32>();
        let (rate, corrections) = (course[0], [course[1], course[2]]);
        let [value, grad, first, second] = [value, grad, first, second].map(|t| t.to_contiguous());
        let mut p = value.storage::<f32>().to_vec();
        let mut m = first.storage::<f32>().to_vec();
        let mut v = second.storage::<f32>().to_vec();
        let g = grad.storage::<f32>();
        let keep = 1.0 - rate * step.decay;
        p.par_chunks_mut(BLOCK)
            .zip(m.par_chunks_mut(BLOCK))
            .zip(v.par_chunks_mut(BLOCK))
            .zip(g.par_chunks(BLOCK))
            .for_each(|(((p, m), v), g)| {
                for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
                    let g = g * factor + step.penalty * *p;
                    *m = step.beta1 * *m + (1.0 - step.beta1) * g;
                    *v = step.beta2 * *v + (1.0 - step.beta2) * g * g;
                    let root = (*v / corrections[1]).sqrt() + step.epsilon;
                    *p = keep * *p - *m / corrections[0] / root * rate;
                }
            });
        Stepped {
            value: tensor(p, &shape),
            first: tensor(m, &shape),
            second: tensor(v, &shape),
        }
    }

    fn add_squares(sum: T, x: T) -> T {
        let x = x.to_contiguous();
        // Blocks in their order, so that the number of threads does not change the sum.
        let blocks: Vec<f64> = x
            .storage::<f32>()
            .par_chunks(BLOCK)
            .map(|block| block.iter().map(|x| f64::from(*x) * f64::from(*x)).sum())
            .collect();
        let sum = sum.to_contiguous();
        let total = f64::from(sum.storage::<f32>()[0]) + blocks.iter().sum::<f64>();
        tensor(vec![total as f32], &Shape::new([1]))
    }
}
