"""Systems of the field to compare with, a file each; see mmmie.models.systems.

All read the representations of one encoder for each modality and the context in one way (`ContextReader`, where the
published system knows one utterance only), so that they differ in how modalities meet. Original encoders, sequence
lengths and training tricks are left out, and each file says so.
"""
