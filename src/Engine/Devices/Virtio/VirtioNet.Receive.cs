using Hypervisor.Engine.Network;
using static Hypervisor.Engine.Devices.Virtio.VirtioNetLayout;

namespace Hypervisor.Engine.Devices.Virtio;

/// <content>Frames to the guest.</content>
public sealed partial class VirtioNet
{
    /// <inheritdoc/>
    public bool TryReceive(ReadOnlySpan<byte> frame, in PacketOffload offload)
    {
        lock (_receiveLock)
        {
            bool needed = (!offload.NeedsChecksum || (_receiveCapabilities & PacketCapabilities.Checksum) != 0)
                && (offload.Segmentation == PacketSegmentation.None || (_receiveCapabilities & PacketCapabilities.TcpSegmentation4) != 0);
            if (!_receiving || !_linkUp || !needed || frame.Length < Network.Protocols.EthernetFrame.HeaderLength)
            {
                _receivedDropped++;
                return true;
            }

            if (!_filter.Passes(frame))
            {
                return true;
            }

            switch (Gather(HeaderLength + frame.Length))
            {
                case GatherResult.NoRoom:
                    return false;
                case GatherResult.TooSmall:
                    _receivedDropped++;
                    return true;
            }

            Fill(frame, offload);
            Interlocked.Increment(ref _receivedPackets);
            Interlocked.Add(ref _receivedBytes, frame.Length);
            return true;
        }
    }

    /// <inheritdoc/>
    public void EndReceive()
    {
        lock (_receiveLock)
        {
            if (_receiving)
            {
                PublishAndSignal(Queues[ReceiveQueue]);
            }
        }
    }

    private enum GatherResult
    {
        Enough,
        NoRoom,
        TooSmall,
    }

    /// <summary>Pops buffers until a frame with its header fits into those that wait.</summary>
    private GatherResult Gather(int bytes)
    {
        long room = 0;
        for (int i = 0; i < _chainCount; i++)
        {
            room += _chains[i].WritableBytes;
        }

        while (room < bytes)
        {
            // Without mergeable buffers a frame has one chain, and that is too small.
            if (_chainCount > 0 && (!_mergeable || _chainCount == MaximumBuffersPerFrame))
            {
                return GatherResult.TooSmall;
            }

            if (!TryPopBuffer(_chains[_chainCount]))
            {
                return GatherResult.NoRoom;
            }

            room += _chains[_chainCount++].WritableBytes;
        }

        return GatherResult.Enough;
    }

    private bool TryPopBuffer(DescriptorChain chain)
    {
        var queue = Queues[ReceiveQueue];
        while (!TryPop(queue, chain))
        {
            // Published now, for a driver that waits for these before it gives more.
            PublishAndSignal(queue);
            if (!queue.EnableNotifications())
            {
                _starved = true;
                return false;
            }

            queue.DisableNotifications();
        }

        if (chain.WritableBytes < HeaderLength)
        {
            RejectRequest(queue, chain, "a receive buffer does not hold a header");
            _starved = true;
            return false;
        }

        return true;
    }

    /// <summary>Writes header and frame into the chains that wait, and hands those back that were used.</summary>
    private void Fill(ReadOnlySpan<byte> frame, in PacketOffload offload)
    {
        int used = 0;
        for (long room = 0; room < HeaderLength + frame.Length; used++)
        {
            room += _chains[used].WritableBytes;
        }

        Span<byte> header = stackalloc byte[HeaderLength];
        WriteHeader(header, offload, used);
        var queue = Queues[ReceiveQueue];
        _chains[0].Write(Memory, 0, header);
        uint skip = HeaderLength;
        for (int i = 0; i < used; i++)
        {
            int written = _chains[i].Write(Memory, skip, frame);
            frame = frame[written..];
            queue.Push(_chains[i], skip + (uint)written);
            skip = 0;
        }

        // The chains' objects go round: the used ones wait behind those that hold buffers.
        _chains.AsSpan(0, _chainCount).Reverse();
        _chains.AsSpan(0, _chainCount - used).Reverse();
        _chainCount -= used;
    }
}
