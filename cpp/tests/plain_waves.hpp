// Modes and random waves as plain loops over the random-number map that nnqm.hpp defines.
#pragma once

#include "drawn_networks.hpp"

namespace {

enum class Waves { oscillators, cosines, ratio };

// A table of positive numbers of order 1 without a law; each cell has its own polynomial.
nnqm::Quantiles quantiles_source(std::uint64_t seed) {
    Words words{seed};
    nnqm::Quantiles table;
    for (int cell = 0; cell < 2 * nnqm::quantile_octaves * nnqm::quantile_cells; ++cell)
        for (int k = 0; k < nnqm::quantile_terms; ++k)
            table.coefficients.push_back(k == 0 ? words.uniform(0.7, 1.5) : words.uniform(-0.04, 0.04));
    return table;
}

[[maybe_unused]] nnqm::RandomWaves waves_source(Waves kind, int neurons, int space, int points, std::int64_t group) {
    Words words{static_cast<std::uint64_t>(neurons * 100 + space)};
    nnqm::RandomWaves waves;
    waves.neurons = neurons;
    waves.space = space;
    waves.n_points = points;
    for (int i = 0; i < points * space; ++i) waves.points.push_back(words.uniform(-2, 2));
    waves.oscillators = kind == Waves::oscillators;
    if (space > 0 || kind == Waves::cosines) waves.radius = quantiles_source(3);
    if (kind == Waves::ratio) waves.ratio = quantiles_source(5);
    waves.mass = 0.8;
    waves.amplitude = 1.3;
    waves.power = space % 2 == 0 ? 0 : -0.35;
    waves.group = group;
    return waves;
}

// The octave of the probability, from the halves of the word down: 0 for 1/4 <= u < 1/2 or 1/4 <= 1 - u < 1/2.
int plain_octave(Word a, Word b) {
    const long double word = 4294967296.0L * a + b + 0.5L, u = word / 18446744073709551616.0L;
    long double smaller = u < 0.5L ? u : 1 - u;
    int octave = 0;
    while (smaller < 0.25L && octave < nnqm::quantile_octaves - 1) {
        smaller *= 2;
        ++octave;
    }
    return octave;
}

double plain_quantile(const nnqm::Quantiles& table, Word a, Word b) {
    // The distance from the nearer end in units of 2^-64, exact in 64 bits of mantissa.
    const std::uint64_t word = (std::uint64_t{a} << 32) | b;
    const bool upper = word >= std::uint64_t{1} << 63;
    const long double smaller = std::ldexp(static_cast<long double>(upper ? ~word : word) + 0.5L, -64);
    const int octave = plain_octave(a, b);
    const bool last = octave == nnqm::quantile_octaves - 1;
    const long double low = last ? 0 : std::ldexp(1.0L, -2 - octave), high = std::ldexp(1.0L, -1 - octave);
    const long double place = (smaller - low) / (high - low) * nnqm::quantile_cells;
    const int cell = std::min(static_cast<int>(place), nnqm::quantile_cells - 1);
    const auto x = static_cast<double>(2 * (place - cell) - 1);
    const std::size_t row = size(((upper ? 1 : 0) * nnqm::quantile_octaves + octave) * nnqm::quantile_cells + cell);
    double value = 0;
    for (int k = 0; k < nnqm::quantile_terms; ++k)
        value += table.coefficients[row * nnqm::quantile_terms + size(k)] * std::pow(x, k);
    return value;
}

// The values (time, point) of a field on one path, and the sums of the absolute values of their terms.
struct PlainField {
    std::int64_t points = 0;
    Word processes = 0;
    Doubles values, terms;
    void add(std::size_t at, double term, double size_of_term) {
        values[at] += term;
        terms[at] += size_of_term;
    }
};

// An Ornstein-Uhlenbeck process of variance 1 with the noise of kind 6; the first draw is the one of path / futures.
Doubles plain_process(const nnqm::Run& run, std::int64_t path, double rate, Word process) {
    const Word purpose = 6 * 65536 + process;
    Doubles values = {normal(run.key, path / run.futures, 0, purpose)};
    for (std::size_t t = 1; t < run.times.size(); ++t) {
        const double a = std::exp(-rate * (run.times[t] - run.times[t - 1]));
        values.push_back(a * values.back() +
                         std::sqrt(1 - a * a) * normal(run.key, path, static_cast<std::int64_t>(t), purpose));
    }
    return values;
}

// Neuron n of random waves: amplitude, frequency or rate, phase, and momenta of space.
struct PlainNeuron {
    double amplitude = 0, frequency = 0, rate = 0, phase = 0;
    Doubles momentum;
};

PlainNeuron plain_neuron(const nnqm::RandomWaves& waves, std::uint64_t key, std::int64_t path, int neuron,
                         Word channel) {
    const bool ratio = !waves.ratio.coefficients.empty(), cosines = !waves.oscillators;
    const int components = waves.space + (cosines && !ratio ? 1 : 0), blocks = 2 + (components + 3) / 4;
    const std::int64_t group = path / waves.group, block = std::int64_t{neuron} * blocks;
    const Word purpose = 5 * 65536 + channel;
    const auto words = [&](std::int64_t at, Word* c) {
        c[0] = static_cast<Word>(group);
        c[1] = static_cast<Word>(group >> 32);
        c[2] = static_cast<Word>(at);
        c[3] = purpose;
        philox(c, key);
    };
    Word first[4], second[4];
    words(block, first);
    words(block + 1, second);
    PlainNeuron result;
    const double k = components > 0 ? plain_quantile(waves.radius, first[0], first[1]) : 0;
    if (cosines) result.phase = 2 * pi * (first[2] + (first[3] + 0.5) / 4294967296.0) / 4294967296.0;
    Doubles direction;
    double length = 0;
    for (int i = 0; i < components; ++i) {
        direction.push_back(normal(key, group, 4 * (block + 2) + i, purpose));
        length += direction.back() * direction.back();
    }
    for (double& component : direction) component *= k / std::sqrt(length);
    double energy = k * k + waves.mass * waves.mass;
    result.rate = std::sqrt(energy);
    if (ratio) {
        result.frequency = result.rate * plain_quantile(waves.ratio, second[0], second[1]);
        energy += result.frequency * result.frequency;
    } else if (cosines) {
        result.frequency = direction[0];
        direction.erase(direction.begin());
    }
    result.momentum = direction;
    result.amplitude = waves.amplitude * std::pow(energy, waves.power);
    return result;
}

void add_waves(const nnqm::RandomWaves& waves, const nnqm::Run& run, std::int64_t path, Word channel, Word process,
               PlainField& field) {
    for (int n = 0; n < waves.neurons; ++n) {
        const PlainNeuron neuron = plain_neuron(waves, run.key, path, n, channel);
        Doubles y, z;
        if (waves.oscillators) {
            y = plain_process(run, path, neuron.rate, process + static_cast<Word>(n));
            z = plain_process(run, path, neuron.rate, process + static_cast<Word>(waves.neurons + n));
        }
        for (std::size_t t = 0; t < run.times.size(); ++t)
            for (int s = 0; s < waves.n_points; ++s) {
                double angle = neuron.phase;
                for (int i = 0; i < waves.space; ++i)
                    angle += neuron.momentum[size(i)] * waves.points[size(s * waves.space + i)];
                const std::size_t at = t * size(waves.n_points) + size(s);
                if (waves.oscillators) {
                    const double even = y[t] * std::cos(angle), odd = z[t] * std::sin(angle);
                    field.add(at, neuron.amplitude * (even + odd),
                              neuron.amplitude * (std::fabs(y[t]) + std::fabs(z[t])));
                } else {
                    const double whole = angle + neuron.frequency * run.times[t];
                    field.add(at, neuron.amplitude * std::cos(whole), neuron.amplitude);
                }
            }
    }
}

[[maybe_unused]] PlainField plain_field(const nnqm::Source& source, const nnqm::Run& run, std::int64_t path,
                                        Word channel, Word process) {
    PlainField field;
    const auto* modes = std::get_if<nnqm::Modes>(&source);
    const auto* waves = std::get_if<nnqm::RandomWaves>(&source);
    field.points = modes ? static_cast<std::int64_t>(modes->matrix.size() / modes->omega.size()) : waves->n_points;
    field.values.assign(run.times.size() * size(field.points), 0.0);
    field.terms = field.values;
    if (waves) {
        field.processes = waves->oscillators ? 2 * static_cast<Word>(waves->neurons) : 0;
        add_waves(*waves, run, path, channel, process, field);
        return field;
    }
    field.processes = static_cast<Word>(modes->omega.size());
    for (std::size_t j = 0; j < modes->omega.size(); ++j) {
        const Doubles u = plain_process(run, path, modes->omega[j], process + static_cast<Word>(j));
        for (std::size_t t = 0; t < u.size(); ++t)
            for (std::int64_t s = 0; s < field.points; ++s) {
                const double weight = modes->matrix[size(s) * modes->omega.size() + j];
                field.add(t * size(field.points) + size(s), weight * u[t],
                          std::fabs(weight) + std::fabs(weight * u[t]));
            }
    }
    return field;
}

}  // namespace
