/* Rings and grids of Gaussians: the toy that shows at a glance whether a GAN finds every mode of its data.
 *
 * Two networks of three hidden layers learn points of the plane. The standard setting is that of the literature
 * (Srivastava et al. 2017, section 4.1): 25 Gaussians in a grid 2 apart, standard deviation 0.05. The GAN of 2014,
 * `--recipe original`, loses modes; the other recipes are cures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vkgan/app.h>
#include <vkgan/layers.h>

enum { GRID, RING };          /* in the order of --shape's words */
enum { MODES = 100, POINTS = 100000, SAMPLES = 2500 };

static const float PI = 3.14159265f;

/* --- the mixture --- */

struct mixture {
    uint32_t count;
    float centres[MODES][2], sigma, reach; /* reach: everything lies well within ±reach */
};

static struct mixture mixture_of(const vkg_app *app)
{
    const uint32_t asked = (uint32_t)vkg_app_number(app, "modes");
    const bool ring = (int)vkg_app_number(app, "shape") == RING;
    struct mixture m = {.count = asked ? asked : ring ? 8 : 25, .sigma = (float)vkg_app_number(app, "sigma")};
    const uint32_t side = (uint32_t)sqrtf((float)m.count);
    const float radius = (float)m.count / 4; /* neighbours are 1.5 apart */
    for (uint32_t i = 0; i < m.count; i++) {
        const float angle = 2 * PI * (float)i / (float)m.count;
        m.centres[i][0] = ring ? radius * cosf(angle) : 2 * (float)(i % side) - (float)(side - 1);
        m.centres[i][1] = ring ? radius * sinf(angle) : 2 * (float)(i / side) - (float)(side - 1);
    }
    m.reach = (ring ? radius : (float)(side - 1)) + 1;
    return m;
}

/* A number in (0, 1), a function of its place alone (Steele et al. 2014, SplitMix64). */
static float uniform(uint64_t place)
{
    uint64_t x = (place + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return ((float)((x ^ x >> 31) >> 40) + 0.5f) / 16777216.0f;
}

static vkg_result read_point(void *user, uint32_t index, float *point)
{
    const struct mixture *m = user;
    const float *centre = m->centres[index % m->count];
    const float distance = m->sigma * sqrtf(-2 * logf(uniform(2 * (uint64_t)index)));
    const float angle = 2 * PI * uniform(2 * (uint64_t)index + 1);
    point[0] = centre[0] + distance * cosf(angle);
    point[1] = centre[1] + distance * sinf(angle);
    return VKG_OK;
}

static vkg_result open_points(vkg_app *app, const char *path, vkg_dataset **dataset)
{
    (void)path; /* the command takes none */
    struct mixture *m = malloc(sizeof *m);
    if (!m)
        return VKG_ERROR_OUT_OF_MEMORY;
    *m = mixture_of(app);
    vkg_result result = vkg_dataset_create(vkg_app_log(app), &(vkg_dataset_source){
        .name = "a mixture of Gaussians", .count = POINTS, .height = 1, .width = 1, .channels = 2, .read = read_point,
        .close = free, .user = m}, dataset);
    if (result != VKG_OK)
        free(m);
    return result;
}

static bool check(const vkg_network_settings *s, char *message, size_t message_size)
{
    const uint32_t modes = (uint32_t)vkg_app_number(s->user, "modes"), side = (uint32_t)sqrtf((float)modes);
    const uint32_t batch = (uint32_t)vkg_app_number(s->user, "batch"), pack = (uint32_t)vkg_app_number(s->user, "pack");
    snprintf(message, message_size, "a batch of %u is no multiple of the points that are judged together, --pack %u", batch, pack);
    if ((int)vkg_app_number(s->user, "shape") == RING || side * side == modes)
        return batch % pack == 0;
    snprintf(message, message_size, "%u modes are no square grid; --modes 9, 16 or 25, or --shape ring", modes);
    return false;
}

/* --- the networks --- */

static vkg_tensor *layer(vkg_graph *g, vkg_tensor *x, const char *name, uint32_t out, float gain)
{
    const vkg_init init = vkg_init_kaiming_normal(gain, vkg_tensor_shape(x).dims[1]);
    return vkg_linear(g, x, &(vkg_linear_desc){.name = name, .out = out, .bias = true, .weight = {.init = &init}});
}

/* Numbers, and their place in 32 waves of random directions: a perceptron alone is too smooth to tell clusters that are so
 * small beside their distances. Tancik et al. 2020. */
static vkg_tensor *waves(vkg_graph *g, vkg_tensor *x)
{
    vkg_tensor *phase = vkg_linear(g, x, &(vkg_linear_desc){.name = "waves", .out = 32, .init_std = 1});
    return vkg_concat(g, (vkg_tensor *[]){x, vkg_sin(g, phase), vkg_cos(g, phase)}, 3, 1);
}

static vkg_tensor *hidden_layers(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    static const char *const names[] = {"hidden1", "hidden2", "hidden3"};
    for (int i = 0; i < 3; i++)
        x = vkg_leaky_relu(g, layer(g, x, names[i], s->width, 1.4f), 0.2f);
    return x;
}

/* Latents go in with their signs: a continuous map of one cloud of latents would draw lines between the clusters, for which
 * there is no data (Khayatkhoei et al. 2018). */
static vkg_tensor *generator(vkg_graph *g, vkg_tensor *z, const vkg_network_settings *s)
{
    vkg_tensor *x = vkg_concat(g, (vkg_tensor *[]){z, vkg_sign(g, z)}, 2, 1);
    x = layer(g, hidden_layers(g, x, s), "point", 2, 3);
    return vkg_reshape(g, x, VKG_SHAPE(vkg_tensor_shape(z).dims[0], 1, 1, 2));
}

static vkg_tensor *discriminator(vkg_graph *g, vkg_tensor *x, const vkg_network_settings *s)
{
    x = waves(g, vkg_reshape(g, x, VKG_SHAPE(vkg_tensor_shape(x).dims[0], 2)));
    const uint32_t pack = (uint32_t)vkg_app_number(s->user, "pack");
    if (pack > 1) {
        const vkg_shape shape = vkg_tensor_shape(x);
        x = vkg_reshape(g, x, VKG_SHAPE(shape.dims[0] / pack, shape.dims[1] * pack));
    }
    return layer(g, hidden_layers(g, x, s), "logit", 1, 1);
}

/* --- what came of it --- */

static float distance_to(const struct mixture *m, uint32_t mode, const float *point)
{
    return hypotf(point[0] - m->centres[mode][0], point[1] - m->centres[mode][1]);
}

/* Clusters of large deviations overlap: a sample within reach of several is of the nearest one. */
static uint32_t nearest_mode(const struct mixture *m, const float *point)
{
    uint32_t nearest = 0;
    for (uint32_t k = 1; k < m->count; k++)
        if (distance_to(m, k, point) < distance_to(m, nearest, point))
            nearest = k;
    return nearest;
}

/* A sample is of high quality within four standard deviations of the nearest centre. A mode is found that has at least a
 * fifth of the samples of high quality that an even distribution would give it. */
static uint32_t measure(const vkg_app *app, const float *samples, uint32_t count, vkg_app_measure *measures)
{
    const struct mixture m = mixture_of(app);
    uint32_t hits[MODES] = {0}, good = 0, found = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t nearest = nearest_mode(&m, samples + 2 * i);
        const bool within = distance_to(&m, nearest, samples + 2 * i) <= 4 * m.sigma;
        hits[nearest] += within;
        good += within;
    }
    for (uint32_t k = 0; k < m.count; k++)
        found += 5 * hits[k] * m.count >= count;
    measures[0] = (vkg_app_measure){"modes", found};
    measures[1] = (vkg_app_measure){"high_quality", (double)good / count};
    return 2;
}

enum { SIDE = 240 }; /* of a picture, in pixels */

/* A dot of 2 × 2 pixels, half transparent. */
static void put_dot(uint8_t *pixels, float reach, const float *point, const uint8_t colour[3])
{
    const float x = (point[0] / reach + 1) / 2 * (SIDE - 1), y = (1 - point[1] / reach) / 2 * (SIDE - 1);
    if (!(x >= 0 && x < SIDE - 1 && y >= 0 && y < SIDE - 1))
        return;
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 3; c++) {
            uint8_t *pixel = pixels + (((int)y + i / 2) * SIDE + (int)x + i % 2) * 3 + c;
            *pixel = (uint8_t)((*pixel + colour[c]) / 2);
        }
}

/* Real points in grey below the samples in orange. */
static vkg_result draw(const vkg_app *app, const float *samples, uint32_t count, vkg_image *picture)
{
    static const uint8_t grey[3] = {150, 160, 175}, orange[3] = {225, 85, 0};
    struct mixture m = mixture_of(app);
    *picture = (vkg_image){SIDE, SIDE, 3, malloc(SIDE * SIDE * 3)};
    if (!picture->pixels)
        return VKG_ERROR_OUT_OF_MEMORY;
    memset(picture->pixels, 255, SIDE * SIDE * 3);
    for (uint32_t i = 0; i < count; i++) {
        float point[2];
        read_point(&m, i, point);
        put_dot(picture->pixels, m.reach, point, grey);
    }
    for (uint32_t i = 0; i < count; i++)
        put_dot(picture->pixels, m.reach, samples + 2 * i, orange);
    return VKG_OK;
}

/* What the recipes have in common. */
#define CURE " --lr 0.004 --beta1 0 --beta2 0.99 --lr-schedule cosine --ema 0.99"

int main(int argc, char **argv)
{
    static const vkg_app_option options[] = {
        {.name = "shape", .argument = "grid|ring", .help = "how the Gaussians lie: 2 apart, or on a circle"},
        {.name = "modes", .argument = "N", .help = "how many, a square number in a grid [0: 25 in a grid, 8 in a ring]",
         .high = MODES, .whole = true},
        {.name = "pack", .argument = "N", .help = "points that the discriminator judges together (PacGAN, Lin et al. 2018)",
         .value = 1, .low = 1, .high = 16, .whole = true},
        {.name = "sigma", .argument = "X", .help = "their standard deviation", .value = 0.05, .low = 0.001, .high = 1},
        {0}};
    static const vkg_app_recipe recipes[] = {
        {"original", "the GAN of 2014, whose generator minimises log(1 − D)", "--loss minimax"},
        {"relativistic", "R3GAN's loss of pairs, with R1 and R2", "--loss relativistic --r1 0.1 --r2 0.1" CURE},
        {"non-saturating", "the usual loss, with R1 and R2", "--r1 0.1 --r2 0.1" CURE},
        {"hinge", "the hinge loss, with R1 and R2", "--loss hinge --r1 0.1 --r2 0.1" CURE},
        {"least-squares", "squared distances, with R1 and R2", "--loss least-squares --r1 0.8 --r2 0.8" CURE},
        {"wgan-gp", "a Wasserstein critic with gradient penalty",
         "--loss wasserstein --gradient-penalty 0.1 --d-steps 3" CURE},
        {0}};
    return vkg_app_main(argc, argv, &(vkg_app_desc){
        .name = "gaussians", .summary = "learns points around 8 or 25 centres: which GAN finds them all?",
        .gan = {.generator = generator, .discriminator = discriminator, .optimizer_g = {.lr = 1e-3f, .beta1 = 0.5f}},
        .latent = 6, .width = 64, .batch = 256, .steps = 5000, .sample_every = 500, .samples = SAMPLES, .check = check,
        .options = options, .recipes = recipes, .open_data = open_points, .draw = draw, .measure = measure});
}
