"""Three small Keras models, as somebody other than the course might write them."""

import numpy as np


def residual(keras, batch_size):
    """Odd sizes, a strided branch, two additions, batch norm, global average pooling."""
    layers = keras.layers
    image = keras.Input((13, 11, 3), batch_size=batch_size)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU(6)(layers.BatchNormalization()(x))
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, layers.Conv2D(8, (3, 5), padding="same")(y)])
    y = layers.Conv2D(12, 3, strides=(2, 1), padding="valid")(x)
    x = layers.ReLU()(layers.Add()([y, layers.Conv2D(12, 3, strides=(2, 1), padding="valid")(x)]))
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def depthwise(keras, batch_size):
    """A dilated depthwise layer with two kernels a channel, zero padding, average pooling, softmax."""
    layers = keras.layers
    image = keras.Input((17, 15, 2), batch_size=batch_size)
    x = layers.ZeroPadding2D(((0, 1), (2, 1)))(image)
    x = layers.DepthwiseConv2D(3, depth_multiplier=3, dilation_rate=2, padding="same", activation="relu")(x)
    x = layers.AveragePooling2D(3, strides=2, padding="same")(x)
    x = layers.SeparableConv2D(10, 3, strides=2, padding="valid")(x)
    x = layers.AveragePooling2D(2)(x)
    return keras.Model(image, layers.Softmax()(layers.Dense(6)(layers.Flatten()(x))))


def dense_only(keras, batch_size):
    """No image at all: hard-swish, sigmoid gates, concatenation, multiplication."""
    layers = keras.layers
    x = keras.Input((20,), batch_size=batch_size)
    a = layers.Dense(16, activation=keras.activations.hard_swish)(x)
    gate = layers.Dense(16, activation="sigmoid")(x)
    y = layers.Concatenate()([layers.Multiply()([a, gate]), layers.Dense(7, activation="relu")(x)])
    y = layers.Reshape((23,))(y)
    return keras.Model(x, layers.Dense(3, activation="sigmoid")(y))


MODELS = {"residual": residual, "depthwise": depthwise, "dense_only": dense_only}


def built(keras, name, *, batch_size=None):
    """Return the model with weights and batch norm statistics from a seed, and inputs for it."""
    model, rng = MODELS[name](keras, batch_size), np.random.default_rng(0)
    for layer in model.layers:
        new = []
        for weight, value in zip(layer.weights, layer.get_weights(), strict=True):
            fan_in = max(int(np.prod(value.shape[:-1])), 1)
            positive = weight.path.endswith(("gamma", "variance"))
            drawn = rng.uniform(0.5, 2, value.shape) if positive else rng.normal(0, fan_in**-0.5, value.shape)
            new.append(drawn.astype(np.float32))
        layer.set_weights(new)
    return model, rng.normal(0, 1, (60, *model.input_shape[1:])).astype(np.float32)
