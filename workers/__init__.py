"""What runs beside the frozen model: text cache, scoring, tuners, and the Ray Tune trainable.

The shape alphabet of the whole project:

    B  texts in a batch            N  prompts in one pass (members, candidates)
    T  tokens of a text            P  tokens of a prompt (virtual or real)
    H  hidden size                 L  labels
    V  vocabulary                  K  candidate tokens
    Q  query tokens in one pass: for every prompt its P tokens and the template's tail
    F  numbers a token leaves in the cache: keys and values of all layers
"""
