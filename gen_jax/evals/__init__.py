"""Metrics, one short file each. What a metric is asked of is told by its arguments' names; CONTRIBUTING says how.

    file                     figures                                       reads         best
    frechet                  fid, fid/low, fid/high; fid_infinity          features      0
    kid                      kid, kid/subsets, kid/std                     features      0
    inception_score          inception_score                               logits        the number of classes
    prdc                     precision, recall, density, coverage          features      1 (of density about 1)
    mmd                      mmd (its square)                              features      0
    vendi                    vendi                                         features      more is more diverse
    sliced_wasserstein       sliced_wasserstein                            pixels        0
    label_agreement          agreement, classes_read, read/CLASS           pixels        1; all classes, evenly
    classification_accuracy  cas beside cas_real                           pixels        cas_real
    modes                    modes, modes/rarest, modes/kl_uniform         pixels        modes/known; 0
    point_modes              point_modes, point_modes/within               points        point_modes/known; 1
    sample_distance          sample_distance, sample_distance/nearest      pixels        1
    memorization             exact_copies, authenticity, distance_ratio    pixels        0; authenticity_test; 1
    bits_per_dim             bits_per_dim_ode, bits_per_dim_elbo; of VAEs  the model     less
                             bits_per_dim_elbo and _iw, or nats_elbo, _iw
    ppl                      ppl, or ppl_pixels                            the model     less
    psnr, ssim, lpips        psnr in dB, ssim, lpips; for restoration      pairs         more; 1; 0
    translation_error        translation_error, of the identity, ratio     pairs         0; ratio 1: no better
    frechet_audio            fad                                           features      0
    clip_score               clip_score, of embeddings made elsewhere      embeddings    more

checks, blocks and classifier are what several of them share. Features and logits come from a network of features/.
"""
